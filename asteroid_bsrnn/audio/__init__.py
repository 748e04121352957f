"""Audio files, read and written block by block, so that their length never meets the memory.

Blocks are float32 arrays of shape `(C, L)`: C channels, L samples. Data flows one way:
`find_inputs` -> `AudioFile.blocks` -> `resample_blocks` -> the separator -> `resample_blocks` ->
`AudioWriter` inside an `OutputDirectory`. Whatever is wrong with a file or a folder raises
`UserError` with one line that names it.
"""

from asteroid_bsrnn.audio.inputs import find_inputs
from asteroid_bsrnn.audio.output import OutputDirectory
from asteroid_bsrnn.audio.reading import AudioFile
from asteroid_bsrnn.audio.resampling import resample_blocks, resampled_length
from asteroid_bsrnn.audio.writing import AudioWriter, check_output, default_subtype

__all__ = [
    "AudioFile",
    "AudioWriter",
    "OutputDirectory",
    "check_output",
    "default_subtype",
    "find_inputs",
    "resample_blocks",
    "resampled_length",
]
