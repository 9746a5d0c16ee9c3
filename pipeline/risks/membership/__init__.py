"""Membership: who was in the training set."""
