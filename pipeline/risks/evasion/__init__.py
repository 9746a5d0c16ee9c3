"""Evasion: a changed record gets another answer."""
