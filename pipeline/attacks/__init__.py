"""One module per risk; the evasion attacks are a package."""
