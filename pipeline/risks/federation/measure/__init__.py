"""Hostile hospitals, a curious server, curious participants."""
