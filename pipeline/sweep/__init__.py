"""Recipes end to end, each run once, and sweeps over several."""
