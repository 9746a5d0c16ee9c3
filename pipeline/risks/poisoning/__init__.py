"""Poisoning: what poisoned training data do, and what filters and certificates do against it."""
