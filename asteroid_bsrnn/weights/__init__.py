"""Pretrained weights: from a name to a file to a model.

`find` turns a name into a file: it looks the name up in `registry` and has `install` download,
convert and verify the weights. `checkpoint` turns the file into a model. The embedded weights,
their model card and `registry.json` are in this folder too.
"""
