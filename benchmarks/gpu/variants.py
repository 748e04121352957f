"""Networks to measure, and variants of running them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from asteroid_bsrnn import kernels, presets
from asteroid_bsrnn.masknn.separator import set_activation_checkpointing

sys.path.insert(0, str(Path(__file__).parent.parent))
from memory import Form, needed_gib  # noqa: E402
from plain import PlainBSRNN  # noqa: E402

NETWORKS = {"obsrnn": "vocals", "obsrnn_simo": None, "bsrnn": "vocals"}
TINY = {"feature_dim": 16, "n_repeats": 1}


@dataclass(frozen=True)
class Variant:
    """A variant of running a network.

    Attributes:
        plain: whether it is the plain implementation.
        lstm: "torch" or "triton".
        precision: "default" is torch's float32, which allows TF32 in cuDNN only;
            "float32" and "tf32" are float32 without and with TF32 everywhere.
        checkpointing: mode of `set_activation_checkpointing`.
        batch: examples; None for as many as fit.
        graphs: whether a CUDA graph replays the masker, with half of the batch that would fit.
    """

    plain: bool = False
    lstm: str = "torch"
    precision: str = "default"
    checkpointing: str = "none"
    batch: int | None = None
    graphs: bool = False

    def __str__(self) -> str:
        words = [
            (
                "plain"
                if self.plain
                else f"package, {'Triton' if self.lstm == 'triton' else 'nn.LSTM'}"
            )
        ]
        words.append({"default": "float32 (torch's defaults)"}.get(self.precision, self.precision))
        words += [f"{self.checkpointing} checkpointing"] * (self.checkpointing != "none")
        words += ["CUDA graphs"] if self.graphs else []
        words += [f"batch {self.batch}"] if self.batch else []
        return ", ".join(words)

    @property
    def needs_gpu(self) -> bool:
        """Return whether the variant needs a GPU."""
        return self.lstm == "triton" or self.graphs

    def build(self, name: str, device: str, quick: bool) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Return the network to run, and the network of the package that it is equivalent to."""
        torch.manual_seed(0)
        network = presets.build(name, NETWORKS[name], **(TINY if quick else {})).to(device)
        set_activation_checkpointing(network, self.checkpointing)
        return (PlainBSRNN(network).to(device) if self.plain else network), network

    @contextlib.contextmanager
    def running(self, device: str) -> Iterator[None]:
        """Set precision and implementation while the network runs."""
        products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = products.allow_tf32, cudnn.allow_tf32
        products.allow_tf32 = self.precision == "tf32"
        cudnn.allow_tf32 = self.precision in ("tf32", "default")
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.precision)
        try:
            # Autocast frees its cached weights with its context, but a graph would still read them.
            kept = {"enabled": dtype is not None, "cache_enabled": not self.graphs}
            with kernels.use(self.lstm), torch.autocast(device, dtype, **kept):
                yield
        finally:
            products.allow_tf32, cudnn.allow_tf32 = before


def counted_gib(name: str, variant: Variant) -> float | None:
    """Return the GiB of an example by `memory.py`; None for LSTMs of cuDNN."""
    if variant.lstm != "triton" or variant.plain:
        return None
    precision = variant.precision if variant.precision in ("bfloat16", "float16") else "float32"
    form = Form("cuda", precision=precision, checkpointing=variant.checkpointing)
    return needed_gib(name, form)[1]
