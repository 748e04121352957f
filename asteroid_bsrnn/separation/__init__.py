"""Separation of recordings: chunks, devices, and the `Separator` class."""
