"""Separation of recordings: chunks of any length, the device, and the user's `Separator`."""
