"""Safeguards: what is put around a model that was trained already, and what of it survives."""
