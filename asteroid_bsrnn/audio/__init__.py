"""Streaming audio I/O: memory use does not depend on the length of a file.

Blocks are float32 arrays of shape `(C, L)`: C channels, L samples. Data flows one way:
`find_inputs` -> `AudioFile.blocks` -> `resample_blocks` -> the separator -> `resample_blocks` ->
`AudioWriter` in an `OutputDirectory`. A file or folder with a fault raises a `UserError` of one
line that names it.
"""

from ..files import OutputDirectory
from .reader import AudioFile, find_inputs
from .stems import resample_blocks
from .writer import AudioWriter, check_output, output_rate

__all__ = [
    "AudioFile",
    "AudioWriter",
    "OutputDirectory",
    "check_output",
    "find_inputs",
    "output_rate",
    "resample_blocks",
]
