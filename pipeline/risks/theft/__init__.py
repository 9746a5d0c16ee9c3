"""Theft: how soon a model is copied by asking it."""
