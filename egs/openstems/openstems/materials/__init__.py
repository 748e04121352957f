"""Packages that songs are made from: their licences, and how to download them."""

from .available import Materials, default_directory, find
from .material import CATALOGUE, CLIENTS, DEFAULT_CLIENTS, KINDS, PROFILES, Item, Material

__all__ = [
    "CATALOGUE",
    "CLIENTS",
    "DEFAULT_CLIENTS",
    "KINDS",
    "PROFILES",
    "Item",
    "Material",
    "Materials",
    "default_directory",
    "find",
]
