"""Sizes of networks for tests that are not about the network.

The table of the base model has 41 bands, and a network computes each width by itself. A few wide
bands take a third of the time. Tests of networks, rows and documented commands keep the tables.
"""

FEW_BANDS = ((4, 1000), (2, 2000))  # and one up to the Nyquist frequency
FEW_BANDS_SETTING = "model.bands=[[4,1000],[2,2000]]"  # the same for `--set` of the recipes
