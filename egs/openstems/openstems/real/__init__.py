"""Validation on recordings of real music: the songs, the figures and the rule."""
