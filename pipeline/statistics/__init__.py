"""Rates, intervals, tests and privacy accounting: pure functions of arrays."""
