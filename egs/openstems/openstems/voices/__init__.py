"""Singers: speech of many speakers, analysed by WORLD, sung on melodies; and Sinsy, in tune."""
