"""The pictures of evasion, each drawn from a table that also lies beside it."""
