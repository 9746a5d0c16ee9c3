"""What every attack does to a population, and what is proved."""
