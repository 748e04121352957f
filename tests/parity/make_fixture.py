"""Make `golden.pt.xz`, what the tests compare with, from a folder of the reference's networks.

    python tests/parity/make_fixture.py GOLDEN_FOLDER

The folder holds small networks with random weights, made by the code of arXiv 2603.09187, each
with an input and what that code computes from it . All of them
are 25 MB. The fixture keeps those that together have every option, and only every 16th sample of
the outputs. The tests take the whole folder instead where `BSRNN_GOLDEN` names it.
"""

import lzma
import sys
from pathlib import Path

import torch

KEPT = (
    "base_vocals",
    "opt_bass",
    "bscnn_vocals",
    "conv_lstm_vocals",
    "gru_gru_vocals",
    "multihead2_vocals",
    "stereo_naive_vocals",
    "simo_subtract",
)
EVERY = 16


def main(folder: Path) -> None:
    """Write `golden.pt.xz` beside this file."""
    fixture = {"every": EVERY, "networks": {}}
    for name in KEPT:
        golden = torch.load(folder / f"{name}.pt", weights_only=True)
        # The STFT's windows are not learned. One flat tensor spares a thousand small headers.
        state = {k: v for k, v in golden["state_dict"].items() if "window" not in k}
        golden["state_dict"] = torch.cat([value.flatten() for value in state.values()])
        golden["shapes"] = {key: list(value.shape) for key, value in state.items()}
        golden["estimates"] = golden["estimates"][..., ::EVERY].clone()
        fixture["networks"][name] = golden
    inference = torch.load(folder / "inference_vocals.pt", weights_only=True)
    inference["estimates"] = {
        name: value[..., ::EVERY].clone() for name, value in inference["estimates"].items()
    }
    fixture["inference"] = inference
    with lzma.open(Path(__file__).parent / "golden.pt.xz", "wb") as file:
        torch.save(fixture, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
