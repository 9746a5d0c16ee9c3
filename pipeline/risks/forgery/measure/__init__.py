"""Forged images, a detector that looks for them, and what models answer to them."""
