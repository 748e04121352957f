"""Separate six seconds of real music with the weights in the package, and measure the result.

The excerpt (The Easton Ellises - Falcon 69) comes with the package `stempeg`, as four stems.
Their sum is the mixture. Stems and a picture of them are written to `demo/`.
"""

import time
from pathlib import Path

import numpy as np
import soundfile
import stempeg

from asteroid_bsrnn import Separator, zoo
from asteroid_bsrnn.memory import keep_freed_memory
from asteroid_bsrnn.metrics import usdr
from asteroid_bsrnn.report.drawing import draw_separation

ORDER = ("drums", "bass", "other", "vocals")  # order of the streams in the file, after the mixture
FOLDER = Path("demo")


def read_excerpt() -> tuple[dict[str, np.ndarray], int]:
    """Return stems (channels, time) by source, without the clicks at the edges, and their rate."""
    streams, rate = stempeg.read_stems(stempeg.example_stem_path(), dtype=np.float32)
    part = slice(round(0.05 * rate), round(6.00 * rate))
    return {name: stem[part].T for name, stem in zip(ORDER, streams[1:], strict=True)}, rate


def separate(separator: Separator, mixture: np.ndarray, rate: int, name: str) -> np.ndarray:
    """Separate files as the command line does, and return (sources, channels, time)."""
    FOLDER.mkdir(exist_ok=True)
    song = FOLDER / f"{name}.wav"
    soundfile.write(song, mixture.T, rate, subtype="FLOAT")
    paths = separator.separate_file(song, FOLDER, overwrite=True)
    return np.stack([soundfile.read(paths[source])[0].T for source in separator.sources])


def best_scaled(mixture: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return, for each reference, the mixture times the gain that fits it best."""
    gains = (references * mixture).sum(axis=(1, 2)) / np.square(mixture).sum()
    return gains[:, None, None] * mixture


def main() -> None:
    """Separate, measure, print."""
    stems, rate = read_excerpt()
    separator = Separator(device="cpu")
    references = np.stack([stems[source] for source in separator.sources]).astype(np.float64)
    mixture = references.sum(axis=0).astype(np.float32)

    began = time.perf_counter()
    estimates = separate(separator, mixture, rate, "excerpt")
    seconds = time.perf_counter() - began

    columns = {
        "separated": usdr(references, estimates),
        "mixture": usdr(references, np.broadcast_to(mixture, references.shape)),
        "best scaled mixture": usdr(references, best_scaled(mixture, references)),
    }
    print(f"{mixture.shape[-1] / rate:.2f} s of music separated in {seconds:.1f} s on the CPU")
    print("uSDR in dB " + "".join(f"{title:>22s}" for title in columns))
    for index, source in enumerate(separator.sources):
        print(f"{source:11s}" + "".join(f"{values[index]:22.2f}" for values in columns.values()))
    captions = {
        source: f"uSDR {separated:.2f} dB (best scaled mixture {scaled:.2f} dB)"
        for source, separated, scaled in zip(
            separator.sources, columns["separated"], columns["best scaled mixture"], strict=True
        )
    }
    stems = dict(zip(separator.sources, estimates, strict=True))
    picture = draw_separation(FOLDER / "excerpt.png", mixture, stems, rate, captions)
    print(f"\nThe stems are in {FOLDER / 'excerpt'}, a picture of them is {picture}.")
    weights = zoo.registry()[zoo.DEFAULT]
    print(f"The weights: {weights.name}, {weights.description};")
    print(f"see asteroid_bsrnn/weights/{weights.name}.md.")
    print("--model spleeter_small and --model obsrnn_simo of asteroid-bsrnn separate are better.")


if __name__ == "__main__":
    keep_freed_memory()
    main()
