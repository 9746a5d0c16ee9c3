"""Forged scans: what a picture editor does to a diagnosis, and whether anybody would notice."""
