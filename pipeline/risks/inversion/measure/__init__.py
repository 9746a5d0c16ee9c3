"""Guesses of private measurements, with and without a model."""
