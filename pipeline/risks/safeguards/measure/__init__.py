"""Sanitised records and referred patients, under attackers who ignore them and who adapt."""
