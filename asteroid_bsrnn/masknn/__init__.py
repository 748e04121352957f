"""Parts of band-split maskers, one kind of `torch.nn.Module` per file.

Features have the shape (T, K, B, N): frames, bands, batch (with the channels folded in), features.
"""

from .attention import FullBandAttention
from .band_split import BandLinear, BandSplit
from .convolutional import ResidualConv, ResidualDilatedConvs
from .mask import MaskEstimator
from .norm import SequenceNorm
from .recurrent import ResidualRecurrent
from .separator import DualPathBlock, DualPathSeparator
from .tac import TAC

__all__ = [
    "TAC",
    "BandLinear",
    "BandSplit",
    "DualPathBlock",
    "DualPathSeparator",
    "FullBandAttention",
    "MaskEstimator",
    "ResidualConv",
    "ResidualDilatedConvs",
    "ResidualRecurrent",
    "SequenceNorm",
]
