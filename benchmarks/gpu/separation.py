"""Section `separation`: seconds of audio per second, by chunks and through `Separator`."""

from __future__ import annotations

import gc
import warnings

import torch
from common import Section, repeated, spread
from power import Meter
from variants import NETWORKS, Variant

from asteroid_bsrnn import Separator, kernels

# The reference was measured with one chunk of 11 s.
CHUNK = [
    Variant(plain=True),
    Variant(lstm="triton", precision="bfloat16"),
    Variant(precision="bfloat16"),
    Variant(),
]


def measure_chunk(name: str, variant: Variant, section: Section, seconds: float) -> dict:
    """Return the figures of the forward pass of one chunk."""
    network, _ = variant.build(name, section.device, section.quick)
    network.eval()
    length = 1.0 if section.quick else 11.0
    mixture = 0.1 * torch.randn(1, 2, round(44100 * length), device=section.device)

    def forward() -> None:
        with torch.inference_mode(), variant.running(section.device):
            network(mixture)

    figures = spread(repeated(forward, section, seconds=seconds))
    return {**figures, "audio_seconds": length, "speed": length / figures["median_s"]}


def measure_track(
    name: str, lstm: str, batch: int, graphs: bool, section: Section, seconds: float
) -> dict:
    """Return the figures of a whole recording through `Separator`, from memory to memory."""
    _, network = Variant().build(name, section.device, section.quick)
    separator = Separator(
        network.eval(), device=section.device, precision="bf16", batch_size=batch,
        segment=1.0 if section.quick else 10.0, cuda_graphs=graphs,
    )  # fmt: skip
    length = 3.0 if section.quick else 240.0
    mixture = 0.1 * torch.randn(2, round(44100 * length))
    meter = Meter(section.device)
    with kernels.use(lstm), warnings.catch_warnings():
        # If no graph was recorded, the row must not pass as one with graphs.
        warnings.filterwarnings("error", "CUDA graphs do not work here")
        for _ in range(1 + graphs):  # warm-up: a graph is recorded when a shape comes again
            separator.separate(mixture)
        meter.start()
        times = repeated(lambda: separator.separate(mixture), section, seconds=seconds, warm_up=0)
        joules = meter.stop()
    figures = spread(times)
    joules = joules and joules / (length * (len(times) + section.quick))
    return {
        **figures,
        "audio_seconds": length,
        "speed": length / figures["median_s"],
        "joules_a_second_of_audio": joules,
    }


def main() -> None:
    """Measure all networks."""
    section = Section.from_command_line()
    batches = (2,) if section.quick else (16, 32, 4)
    rows = []
    for name in NETWORKS:
        for batch in batches:
            for lstm in ("triton", "torch"):
                label = f"{name}: whole track, bfloat16, {lstm}, {batch} chunks at a time"
                rows.append((label, lstm == "triton", measure_track, (name, lstm, batch, False)))
            if batch <= 16:
                label = (
                    f"{name}: whole track, bfloat16, triton, CUDA graphs, {batch} chunks at a time"
                )
                rows.append((label, True, measure_track, (name, "triton", batch, True)))
        for variant in CHUNK:
            label = f"{name}: one chunk, {variant}"
            rows.append((label, variant.needs_gpu, measure_chunk, (name, variant)))
    # The best variant of each network comes first, in case time is short.
    rows.sort(key=lambda row: ("16 chunks" not in row[0], "plain" not in row[0], not row[1]))
    for index, (label, needs_gpu, function, arguments) in enumerate(rows):
        if needs_gpu and section.device == "cpu":
            section.add(label, left_out="needs a GPU")
            continue
        seconds = min(max(section.left / (len(rows) - index) / 2, 0.5), 4.0)
        section.attempt(
            label,
            lambda f=function, a=arguments, s=seconds: f(*a, section, s),
            seconds=0 if section.quick else 5,
        )
        gc.collect()


if __name__ == "__main__":
    main()
