"""Models that are asked about another site, or about later days, than they learned from."""
