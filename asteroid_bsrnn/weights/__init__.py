"""Pretrained weights on their way from a name to a file: registry, download, conversion.

The files of the embedded weights, their model cards and `registry.json` lie in this folder too.
"""
