"""`torch.hub` entry points; `asteroid_bsrnn` itself is imported from the clone beside this file.

`name_url_or_file` is the name of pretrained weights, a URL or a file; None makes a network with
fresh random weights, to be trained, and says so. `separator` alone never does that.
"""

import warnings as _warnings

from asteroid_bsrnn import Separator as _Separator
from asteroid_bsrnn import presets as _presets
from asteroid_bsrnn import zoo as _zoo

dependencies = [
    "torch",
    "asteroid",
    "asteroid_filterbanks",
    "numpy",
    "scipy",
    "soundfile",
    "soxr",
    "tqdm",
]


def _load(preset, name_url_or_file, kwargs):
    if name_url_or_file is not None:
        return _zoo.load(name_url_or_file, **kwargs)
    _warnings.warn(
        f"{preset}: no weights were named, so these are random, to be trained; "
        f"{preset}('{preset}') loads pretrained ones where there are such",
        stacklevel=3,
    )
    return _presets.build_separator(preset, **kwargs)


def bsrnn(name_url_or_file=None, **kwargs):
    """Band-Split RNN, the base model of arXiv 2603.09187.

    Args:
        name_url_or_file: name of pretrained weights, a URL or a file of them; None makes a network
            with random weights, for each source.
        **kwargs: constructor arguments that replace those of the preset or the weights;
            `sources`, one name or several, chooses what random networks are made for.

    Returns:
        A model: (batch, channels, time) -> (batch, sources, channels, time).

    Example:
        >>> model = torch.hub.load("asteroid-bsrnn", "bsrnn", source="local", sources="vocals")
    """
    return _load("bsrnn", name_url_or_file, kwargs)


def bsrnn_large(name_url_or_file=None, **kwargs):
    """Large Band-Split RNN (N=128, R=12); arguments as for `bsrnn`."""
    return _load("bsrnn_large", name_url_or_file, kwargs)


def bscnn(name_url_or_file=None, **kwargs):
    """Band-Split CNN; arguments as for `bsrnn`."""
    return _load("bscnn", name_url_or_file, kwargs)


def obsrnn_notac(name_url_or_file=None, **kwargs):
    """Optimized Band-Split RNN without TAC; arguments as for `bsrnn`."""
    return _load("obsrnn_notac", name_url_or_file, kwargs)


def obsrnn(name_url_or_file=None, **kwargs):
    """Optimized Band-Split RNN (oBSRNN); arguments as for `bsrnn`."""
    return _load("obsrnn", name_url_or_file, kwargs)


def simo_bsrnn(name_url_or_file=None, **kwargs):
    """One Band-Split RNN for all four sources; arguments as for `bsrnn`, but for `sources`."""
    return _load("simo_bsrnn", name_url_or_file, kwargs)


def obsrnn_simo(name_url_or_file=None, **kwargs):
    """One optimized Band-Split RNN for all four sources; arguments as for `simo_bsrnn`."""
    return _load("obsrnn_simo", name_url_or_file, kwargs)


def separator(name_url_or_file=None, **kwargs):
    """A `Separator` of recordings: array in, dict of stems out.

    Args:
        name_url_or_file: name of pretrained weights, a URL or a file of them; None means the
            weights that ship with the package.
        **kwargs: of `asteroid_bsrnn.Separator`: segment, overlap, hop, batch_size, device,
            precision.

    Returns:
        A separator with `separate(mixture, sample_rate)` and `separate_file(path, directory)`.

    Example:
        >>> separator = torch.hub.load("asteroid-bsrnn", "separator", source="local")
        >>> stems = separator.separate(torch.randn(2, 44100), sample_rate=44100)
    """
    return _Separator(name_url_or_file, **kwargs)
