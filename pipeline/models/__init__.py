"""Networks with preprocessing inside, populations of them, and the one training loop."""
