"""Instruments: sampled, synthesised and recorded ones.

All return float32 arrays of shape (2, samples) at `music.RATE`, which depend on notes, parameters
and random stream alone. `palette` chooses an instrument and renders notes with it.
"""
