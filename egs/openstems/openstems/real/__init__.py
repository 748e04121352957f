"""Validation by recordings of real music: the set of songs, the figures and the rule."""
