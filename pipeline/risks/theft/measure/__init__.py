"""Copies of each recipe's models, made by asking them."""
