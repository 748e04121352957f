"""Parts of band-split maskers, one `torch.nn.Module` idea a file.

Inside, features are (T, K, B, N): frames, bands, batch (with the channels folded in), features.
"""

from .attention import FullBandAttention
from .band_split import BandSplit
from .convolutional import ResidualConv, ResidualDilatedConvs
from .linear import BandLinear
from .mask import MaskEstimator
from .masker import BandSplitMasker
from .norm import SequenceNorm
from .recurrent import ResidualRecurrent
from .separator import DualPathBlock, DualPathSeparator
from .tac import TAC

__all__ = [
    "TAC",
    "BandLinear",
    "BandSplit",
    "BandSplitMasker",
    "DualPathBlock",
    "DualPathSeparator",
    "FullBandAttention",
    "MaskEstimator",
    "ResidualConv",
    "ResidualDilatedConvs",
    "ResidualRecurrent",
    "SequenceNorm",
]
