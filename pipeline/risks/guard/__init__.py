"""The guard: answers that nobody within a radius can turn, what they cost, and what passes."""
