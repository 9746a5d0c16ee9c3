"""Inversion: what a model tells about a measurement of a patient."""
