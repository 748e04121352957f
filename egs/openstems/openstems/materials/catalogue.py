"""Catalogue of all materials."""

from __future__ import annotations

from types import MappingProxyType

from ..errors import UserError
from .clean import CLEAN
from .full import FULL
from .material import CLIENTS, DEFAULT_CLIENTS, KINDS, PROFILES, Item, Material
from .recorded import RECORDED
from .whole_songs import WHOLE_SONGS

CATALOGUE = MappingProxyType(
    {material.name: material for material in (*CLEAN, *FULL, *RECORDED, *WHOLE_SONGS)}
)


def find(name: str) -> Material:
    """Return the material of a name.

    Raises:
        UserError: if there is none.
    """
    if name not in CATALOGUE:
        raise UserError(f"there is no material {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


__all__ = [
    "CATALOGUE",
    "CLIENTS",
    "DEFAULT_CLIENTS",
    "KINDS",
    "PROFILES",
    "Item",
    "Material",
    "find",
]
