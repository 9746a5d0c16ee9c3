"""The price of privacy: private models at several epsilons."""
