"""`torch.hub` entry points; `asteroid_bsrnn` itself is imported from the clone beside this file.

`pretrained=True` loads the study's weights of that name, downloaded at first use.
`name_url_or_file` loads other weights: a name, URL, file or folder of a training run. Without
either, the network has random weights, and a warning says so. `separator` always has trained ones.
"""

import warnings as _warnings

from asteroid_bsrnn import Separator as _Separator
from asteroid_bsrnn import UserError as _UserError
from asteroid_bsrnn import presets as _presets
from asteroid_bsrnn import zoo as _zoo

dependencies = [
    "torch",
    "asteroid",
    "asteroid_filterbanks",
    "av",
    "filelock",
    "numpy",
    "requests",
    "scipy",
    "soundfile",
    "soxr",
    "tqdm",
]


def _load(preset, name_url_or_file, pretrained, kwargs):
    if pretrained and name_url_or_file is not None:
        raise _UserError(
            "give either pretrained=True or the name, URL or file of weights, not both"
        )
    if pretrained:
        published = [name for name, entry in _zoo.registry().items() if entry.archive]
        if preset not in published:
            raise _UserError(
                f"{preset}: nobody has published pretrained weights; there are: "
                f"{', '.join(published)}"
            )
        return _zoo.load(preset, stems=kwargs.pop("sources", None), **kwargs)
    if name_url_or_file is not None:
        return _zoo.load(name_url_or_file, **kwargs)
    published = preset in _zoo.registry()
    _warnings.warn(
        f"{preset}: no weights were named, so these are random, to be trained"
        + (f"; {preset}(pretrained=True) loads pretrained ones" if published else ""),
        stacklevel=3,
    )
    return _presets.build_separator(preset, **kwargs)


def bsrnn(name_url_or_file=None, pretrained=False, **kwargs):
    """Return a Band-Split RNN, the base model of arXiv 2603.09187.

    Args:
        name_url_or_file: name, URL or file of pretrained weights, or folder of a training run.
        pretrained: whether to load the study's weights of this name, downloaded at first use. There
            are none of `bsrnn`, `bscnn`, `obsrnn_notac` and `simo_bsrnn`.
        **kwargs: constructor arguments that replace those of the preset or the weights;
            `sources`, one name or several, chooses the networks.

    Returns:
        A model: (batch, channels, time) -> (batch, sources, channels, time).

    Raises:
        UserError: the weights do not exist or cannot be downloaded.

    Example:
        >>> model = torch.hub.load("asteroid-bsrnn", "bsrnn", source="local", sources="vocals")
    """
    return _load("bsrnn", name_url_or_file, pretrained, kwargs)


def bsrnn_large(name_url_or_file=None, pretrained=False, **kwargs):
    """Return a large Band-Split RNN (N=128, R=12); arguments as for `bsrnn`."""
    return _load("bsrnn_large", name_url_or_file, pretrained, kwargs)


def bscnn(name_url_or_file=None, pretrained=False, **kwargs):
    """Return a Band-Split CNN; arguments as for `bsrnn`."""
    return _load("bscnn", name_url_or_file, pretrained, kwargs)


def obsrnn_notac(name_url_or_file=None, pretrained=False, **kwargs):
    """Return an optimised Band-Split RNN without TAC; arguments as for `bsrnn`."""
    return _load("obsrnn_notac", name_url_or_file, pretrained, kwargs)


def obsrnn(name_url_or_file=None, pretrained=False, **kwargs):
    """Return an optimised Band-Split RNN (oBSRNN); arguments as for `bsrnn`."""
    return _load("obsrnn", name_url_or_file, pretrained, kwargs)


def simo_bsrnn(name_url_or_file=None, pretrained=False, **kwargs):
    """Return one Band-Split RNN for all four sources; no argument `sources`.

    For the rest, arguments as for `bsrnn`.
    """
    return _load("simo_bsrnn", name_url_or_file, pretrained, kwargs)


def obsrnn_simo(name_url_or_file=None, pretrained=False, **kwargs):
    """Return one optimised Band-Split RNN for four sources; arguments as for `simo_bsrnn`."""
    return _load("obsrnn_simo", name_url_or_file, pretrained, kwargs)


def separator(name_url_or_file=None, **kwargs):
    """Return a `Separator` of recordings: array in, dict of stems out.

    Args:
        name_url_or_file: name of pretrained weights, such as "obsrnn_simo", URL or file of weights,
            or folder of a training run; None means the weights that ship with the package.
        **kwargs: arguments of `asteroid_bsrnn.Separator`: segment, overlap, hop, batch_size,
            device, precision, stems.

    Returns:
        A separator with `separate(mixture, sample_rate)` and `separate_file(path, directory)`.

    Example:
        >>> separator = torch.hub.load("asteroid-bsrnn", "separator", source="local")
        >>> stems = separator.separate(torch.randn(2, 44100), sample_rate=44100)
    """
    return _Separator(name_url_or_file, **kwargs)
