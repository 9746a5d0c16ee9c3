"""Private models of several epsilons, side by side."""
