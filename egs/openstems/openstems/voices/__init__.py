"""Singers: speech analysed by WORLD and sung on melodies, and the synthesiser Sinsy."""
