"""Count the memory of a training step: bytes saved for the backward pass, by kind of module.

    python benchmarks/memory.py [--networks bsrnn obsrnn ...] [--peak bsrnn] [--output FILE.md]
    python benchmarks/memory.py --cards [--networks ...]   # which batch fits which GPU

A saved byte counts once per storage that autograd keeps between forward and backward; parameters
are left out. The counts need no GPU: forms of a GPU are counted for 3 s of stereo with fake
tensors, which have shapes and no data. Those of a CPU are counted in real forward passes over two
short lengths, and continued to 3 s along the line through both, because every kept tensor grows
with the number of frames or not at all. The plain form is `plain.py` in float32, as the study
trains it. The loss is L1 of waveforms and STFTs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
from plain import PlainAttention, PlainBSRNN, PlainLSTM, PlainMasker, PlainNorm, PlainTAC
from printing import print_and_write
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from asteroid_bsrnn import __version__, kernels, masknn, presets
from asteroid_bsrnn.kernels import choose
from asteroid_bsrnn.losses import L1Loss
from asteroid_bsrnn.masknn.separator import MODES, set_activation_checkpointing

SAMPLE_SECONDS, PEAK_SECONDS = 3.0, 1.0
GIB = 2**30
# The outermost of these modules that is running counts, then the innermost one of INNER.
OUTER = {
    "attention": (masknn.FullBandAttention, PlainAttention),
    "TAC": (masknn.TAC, PlainTAC),
    "mask": (masknn.MaskEstimator, PlainMasker),
    "loss": (L1Loss,),
}
INNER = {
    "norm": (masknn.SequenceNorm, PlainNorm, nn.GroupNorm),
    "linear": (nn.Linear, nn.Conv1d, masknn.BandLinear),
    "LSTM": (masknn.ResidualRecurrent, PlainLSTM, nn.RNNBase),
}
KINDS = ("LSTM", "norm", "linear", "attention", "TAC", "mask", "STFT", "loss")


@dataclass(frozen=True)
class Form:
    """A way to train a network.

    Attributes:
        device: "cpu", or "cuda" for fake tensors of a GPU, where LSTMs are the Triton kernels.
        plain: whether the network is the plain one.
        precision: "float32", or "bfloat16" or "float16" for autocast to it.
        checkpointing: mode of `set_activation_checkpointing`.
    """

    device: str = "cpu"
    plain: bool = False
    precision: str = "float32"
    checkpointing: str = "none"

    def __str__(self) -> str:
        place = "Triton" if self.device == "cuda" else "CPU"
        words = ["plain" if self.plain else "package", place, self.precision]
        return ", ".join([*words, *([self.checkpointing] * (self.checkpointing != "none"))])

    def build(self, name: str, **changes) -> tuple[nn.Module, nn.Module]:
        """Return the network to run and the network of the package that it is equivalent to.

        Raises:
            ValueError: if the network has no such form.
        """
        source = None if presets.is_simo(name) else "vocals"
        with torch.device(self.device):
            torch.manual_seed(0)
            network = presets.build(name, source, **changes)
            if self.device == "cuda" and any(isinstance(m, nn.GRU) for m in network.modules()):
                raise ValueError("a GRU on a GPU is cuDNN's, which only a GPU can tell")
            set_activation_checkpointing(network, self.checkpointing)
            for module in network.modules():
                for key, buffer in module._buffers.items():
                    module._buffers[key] = (
                        buffer if self.device == "cpu" else torch.empty_like(buffer, device="cuda")
                    )
            return (PlainBSRNN(network) if self.plain else network), network

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Set the precision and the implementation of LSTMs."""
        autocast = torch.is_autocast_enabled(self.device), torch.get_autocast_dtype(self.device)
        torch.set_autocast_enabled(self.device, self.precision != "float32")
        half = torch.float16 if self.precision == "float16" else torch.bfloat16
        torch.set_autocast_dtype(self.device, half)
        fake = self.device == "cuda"
        possible = mock.patch.object(choose, "_obstacle", return_value=None)
        lstm = kernels.use("triton" if fake else "torch")
        try:
            with lstm, possible if fake else contextlib.nullcontext():
                yield
        finally:
            torch.clear_autocast_cache()
            torch.set_autocast_enabled(self.device, autocast[0])
            torch.set_autocast_dtype(self.device, autocast[1])


def loss_of(form: Form, network: nn.Module, like: nn.Module, batch: int, seconds: float):
    """Return the training loss of a batch of noise."""
    shape = (batch, len(like.sources), 2, round(44100 * seconds))
    sources = 0.1 * torch.randn(shape, device=form.device)
    mixture = sources.sum(dim=1)
    if form.plain:
        estimates = network(mixture)
        spectrograms = like.encoder(estimates)
    else:
        estimates, spectrograms = network.forward_with_spectrogram(mixture)
    return L1Loss()(estimates, sources, spectrograms, like.encoder(sources))


def take_step(form: Form, network, like, optimizer, batch: int, seconds: float) -> None:
    """Take one step of a training on noise."""
    with form.running():
        loss = loss_of(form, network, like, batch, seconds)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@contextlib.contextmanager
def saved_bytes(parameters) -> Iterator[dict[str, int]]:
    """Yield a dict that has the saved bytes by kind of module at the end of the block."""
    running: list[nn.Module] = []
    own = {_key(parameter) for parameter in parameters}
    kept: dict[int, tuple[str, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        key = _key(tensor)
        if key not in own:
            kept.setdefault(key, (_kind(running), tensor))
        return tensor

    sizes: dict[str, int] = defaultdict(int)
    hooks = (
        nn.modules.module.register_module_forward_pre_hook(lambda m, _: running.append(m)),
        nn.modules.module.register_module_forward_hook(
            lambda *_: running.pop() and None, always_call=True
        ),
    )
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield sizes
    finally:
        for hook in hooks:
            hook.remove()
        for kind, tensor in kept.values():
            sizes[kind] += tensor.untyped_storage().nbytes()


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _kind(running: list[nn.Module]) -> str:
    """Return the kind of the modules that are running, outermost first."""
    for modules, kinds in ((running, OUTER), (reversed(running), INNER)):
        for module in modules:
            for kind, classes in kinds.items():
                if isinstance(module, classes):
                    return kind
    return "STFT"


def count(name: str, form: Form, *, batch: int = 1, seconds: float = SAMPLE_SECONDS, **changes):
    """Return the bytes by kind that `form` of a network saves for a batch.

    Args:
        name: a preset.
        form: how it is trained.
        batch: examples.
        seconds: of each example.
        **changes: arguments of the network that replace the preset's.

    Raises:
        ValueError: if the network has no plain form.
    """
    with _fake() if form.device == "cuda" else contextlib.nullcontext():
        network, like = form.build(name, **changes)
        with form.running(), saved_bytes(network.parameters()) as sizes:
            loss = loss_of(form, network, like, batch, seconds)
        del loss, network, like
    gc.collect()  # before the next network is built
    return dict(sizes)


def count_sample(name: str, form: Form, seconds: float) -> dict[str, float]:
    """Return the bytes by kind that `form` saves for a sample of `SAMPLE_SECONDS`.

    Args:
        name: a preset.
        form: how it is trained.
        seconds: the longer length that is counted of a form of a CPU; the other is half of it.

    Raises:
        ValueError: as in `count`.
    """
    if form.device == "cuda":
        return count(name, form)
    stride = _stride(name)
    lengths = (seconds / 2, seconds, SAMPLE_SECONDS)
    short, long, whole = (round(44100 * length) // stride + 1 for length in lengths)
    few, many = (count(name, form, seconds=length) for length in lengths[:2])
    steps = (whole - short) / (long - short)
    return {kind: few.get(kind, 0) + steps * (many[kind] - few.get(kind, 0)) for kind in many}


@functools.cache
def _stride(name: str) -> int:
    with FakeTensorMode():
        return Form().build(name)[1].encoder.filterbank.stride


@contextlib.contextmanager
def _fake() -> Iterator[None]:
    """Make fake tensors without a search for a GPU, which takes longer than an operation."""
    with FakeTensorMode(), mock.patch.object(torch.cuda, "is_available", return_value=False):
        yield


def peak_of_step(name: str, form: Form, batch: int) -> int:
    """Return the peak memory in bytes of a process that takes two steps on a CPU."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_step, (name, form, batch))


def _step(name: str, form: Form, batch: int) -> int:
    from cpu_form import _peak_bytes

    network, like = form.build(name)
    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(2):
        take_step(form, network, like, optimizer, batch, PEAK_SECONDS)
    return _peak_bytes() or 0


FORMS = (
    Form(plain=True),
    *(
        Form(device=device, precision=precision, checkpointing=mode)
        for device in ("cpu", "cuda")
        for precision in ("float32", "bfloat16")
        for mode in MODES
    ),
)


CARDS = (8, 12, 16, 24, 40, 80)
"""Memory of GPUs in GB, as their makers count."""
CONTEXT, USABLE = 1.0, 0.92
"""GiB of the driver and the libraries, and the share of the rest that fragments leave."""


def needed_gib(name: str, form: Form) -> tuple[float, float]:
    """Return the GiB of a training on a GPU without examples, and of each example of 3 s.

    Counted are parameters, gradients and Adam's two moments, in float32; what is saved; and beside
    it, while the backward pass runs, the gates of one LSTM layer and their inputs, and with
    checkpointing of blocks the saved tensors of one block.
    """
    with FakeTensorMode():
        network, _ = form.build(name)
        fixed = 16 * sum(parameter.numel() for parameter in network.parameters())
        blocks = network.masker.separator.blocks
        rnn = next((m for m in network.modules() if isinstance(m, nn.LSTM)), None)
    one, two = (sum(count(name, form, batch=b).values()) for b in (1, 2))
    example = two - one
    fixed += one - example
    if form.checkpointing == "block":
        whole = replace(form, checkpointing="layers")
        kept = sum(count(name, whole).values())
        example += (kept - one) // len(blocks)
    if rnn is not None:
        widths = network.masker.mask_estimator.weight.shape[0]
        frames = round(44100 * SAMPLE_SECONDS) // network.encoder.filterbank.stride + 1
        size = 4 if form.precision == "float32" else 2
        example += 2 * frames * widths * (8 * rnn.hidden_size + 4 * rnn.input_size) * size
    return fixed / GIB, example / GIB


def cards(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table of batch sizes by GPU."""
    yield (
        "Examples of 3 s in a batch, counted, not measured: Triton's LSTM, bfloat16. "
        f"{CONTEXT:g} GiB are left to the driver, and {100 * (1 - USABLE):.0f} % to fragments."
    )
    columns = (f"{card} GB" for card in CARDS)
    yield "\n" + row("network", "checkpointing", "GiB a sample", *columns)
    yield row(*["---"] * (len(CARDS) + 3))
    for name in options.networks:
        for mode in MODES:
            form = Form(device="cuda", precision="bfloat16", checkpointing=mode)
            try:
                fixed, example = needed_gib(name, form)
            except ValueError:  # it has no such form
                continue
            rooms = (USABLE * (card * 1e9 / GIB - CONTEXT) - fixed for card in CARDS)
            fitting = (max(int(room / example), 0) for room in rooms)
            yield row(name, mode, f"{example:.2f}", *fitting)


def row(*cells: object) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def report(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "# Memory of training steps\n"
    yield (
        f"asteroid-bsrnn {__version__}, torch {torch.__version__}. GiB saved for the backward pass "
        f"of one sample of {SAMPLE_SECONDS:g} s of stereo, counted, not measured; parameters are "
        "left out. Peak: of a CPU process that takes training steps on "
        f"{options.batch} samples of {PEAK_SECONDS:g} s, in GiB."
    )
    yield "\n" + row("network", "form", "total", *KINDS, "peak")
    yield row(*["---"] * (len(KINDS) + 4))
    for name in options.networks:
        for form in FORMS:
            try:
                sizes = count_sample(name, form, options.seconds)
            except ValueError:  # it has no such form
                continue
            peak = ""
            if name in options.peak and form.device == "cpu":
                peak = f"{peak_of_step(name, form, options.batch) / GIB:.2f}"
            gc.collect()
            parts = (f"{sizes.get(kind, 0) / GIB:.2f}" for kind in KINDS)
            yield row(name, form, f"{sum(sizes.values()) / GIB:.2f}", *parts, peak)


def main() -> None:
    """Count, print, and write the results to a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", choices=presets.names(), default=presets.names())
    parser.add_argument("--seconds", type=float, default=0.5, help="counted of forms of a CPU")
    parser.add_argument("--peak", nargs="*", choices=presets.names(), default=[])
    parser.add_argument("--cards", action="store_true", help="batch sizes by GPU instead")
    parser.add_argument("--batch", type=int, default=2, help="samples in the steps of --peak")
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    options = parser.parse_args()
    os.environ.setdefault("TRITON_INTERPRET", "1")  # importing the kernels then needs no driver
    print_and_write((cards if options.cards else report)(options), options.output)


if __name__ == "__main__":
    gc.freeze()  # `count` looks for garbage, which what is imported is not
    main()
