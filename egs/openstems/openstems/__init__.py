"""Unlimited multitrack music in the MUSDB18-HQ layout, made from packages alone."""
