"""Data for training and evaluation, in the folder layout of MUSDB18-HQ.

Data flows one way: `verify` -> `find_tracks` -> `detect_activity` -> `RandomSegments` read in the
order of an `EpochSampler` -> `Augmentations` on the training device -> `peak_normalise`; whole
tracks for validation and test come from `WholeTracks`.

Songs without stems join in: `read_songs` -> a teacher's estimates on disk, with a record each ->
`select` -> `SemiSupervisedSegments`, in place of `RandomSegments`.
"""

from .activity import active_segments, active_segments_of_file
from .activity_cache import detect_activity
from .augmentations import AUGMENTATIONS, Augmentations, augmentation
from .filtering import Filter
from .fingerprint import fingerprint
from .musdb18hq import MUSDB18HQ_INFOS, SOURCES, TEST_TRACKS, VALIDATION_TRACKS, find_tracks
from .normalisation import peak_normalise
from .sampling import EpochSampler
from .segments import RandomSegments
from .selection import read_selection, select
from .selection_summary import describe as describe_selection
from .selection_summary import table as selection_table
from .semi_supervised import SemiSupervisedSegments
from .songs import Song, read_songs
from .tracks import Track
from .verification import verify
from .whole_tracks import WholeTracks

__all__ = [
    "AUGMENTATIONS",
    "MUSDB18HQ_INFOS",
    "SOURCES",
    "TEST_TRACKS",
    "VALIDATION_TRACKS",
    "Augmentations",
    "EpochSampler",
    "Filter",
    "RandomSegments",
    "SemiSupervisedSegments",
    "Song",
    "Track",
    "WholeTracks",
    "active_segments",
    "active_segments_of_file",
    "augmentation",
    "describe_selection",
    "detect_activity",
    "find_tracks",
    "fingerprint",
    "peak_normalise",
    "read_selection",
    "read_songs",
    "select",
    "selection_table",
    "verify",
]
