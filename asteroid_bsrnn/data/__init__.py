"""Data for training and evaluation, in the folder layout of MUSDB18-HQ.

Data flows one way: `verify` -> `find_tracks` -> `detect_activity` -> `RandomSegments` read in the
order of an `EpochSampler` -> `Augmentations` on the training device -> `peak_normalise`; whole
tracks for validation and test come from `WholeTracks`.
"""

from .activity import active_segments, active_segments_of_file
from .activity_cache import detect_activity
from .augmentations import AUGMENTATIONS, Augmentations, augmentation
from .fingerprint import fingerprint
from .musdb18hq import MUSDB18HQ_INFOS, SOURCES, TEST_TRACKS, VALIDATION_TRACKS, find_tracks
from .normalisation import peak_normalise
from .sampling import EpochSampler
from .segments import RandomSegments
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
    "RandomSegments",
    "Track",
    "WholeTracks",
    "active_segments",
    "active_segments_of_file",
    "augmentation",
    "detect_activity",
    "find_tracks",
    "fingerprint",
    "peak_normalise",
    "verify",
]
