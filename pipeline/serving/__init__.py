"""What a deployed model carries."""
