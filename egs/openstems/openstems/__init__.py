"""Generator of multitrack music in the layout of MUSDB18-HQ, from packages alone."""
