"""Data for training and evaluation, in the folder layout of MUSDB18-HQ or another `Layout`.

The order of use: `verify` -> `find_tracks` -> `detect_activity` -> `RandomSegments`, read in the
order of an `EpochSampler` -> `Augmentations` on the training device -> `peak_normalise`.
`WholeTracks` gives whole tracks for validation and test.

Songs without stems: `read_songs` -> a teacher's estimates on disk, with a record each -> `select`
-> `SemiSupervisedSegments` instead of `RandomSegments`.
"""

from ..bands import SOURCES
from .activity import active_segments, active_segments_of_file, detect_activity
from .augmentations import AUGMENTATIONS, Augmentations, augmentation, peak_normalise
from .filtering import Filter
from .layout import Layout, read_layout
from .musdb18 import MUSDB18HQ_INFOS, TEST_TRACKS, decode_musdb18, find_tracks, musdb_setup, verify
from .segments import EpochSampler, RandomSegments, WholeTracks
from .selection import describe_selection, read_selection, select, selection_table
from .semi_supervised import SemiSupervisedSegments
from .songs import Song, read_songs
from .tracks import Track, fingerprint

__all__ = [
    "AUGMENTATIONS",
    "MUSDB18HQ_INFOS",
    "SOURCES",
    "TEST_TRACKS",
    "Augmentations",
    "EpochSampler",
    "Filter",
    "Layout",
    "RandomSegments",
    "SemiSupervisedSegments",
    "Song",
    "Track",
    "WholeTracks",
    "active_segments",
    "active_segments_of_file",
    "augmentation",
    "decode_musdb18",
    "describe_selection",
    "detect_activity",
    "find_tracks",
    "fingerprint",
    "peak_normalise",
    "read_layout",
    "read_selection",
    "read_songs",
    "select",
    "selection_table",
    "verify",
]


def __getattr__(name: str) -> tuple[str, ...]:
    # Read on demand, as it needs musdb.
    if name == "VALIDATION_TRACKS":
        return tuple(musdb_setup()["validation_tracks"])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
