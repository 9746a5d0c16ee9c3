"""One package per risk: what is measured, its tables, its chapter."""
