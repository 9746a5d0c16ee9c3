"""A guard around trained models: who is referred, who passes it, what it gives away."""
