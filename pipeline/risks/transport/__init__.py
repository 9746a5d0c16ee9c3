"""Transport: what a model is worth elsewhere and later than it learned."""
