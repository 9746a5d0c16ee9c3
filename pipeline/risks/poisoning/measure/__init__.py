"""Poisoned training sets, what they do to each recipe, filters, and certificates."""
