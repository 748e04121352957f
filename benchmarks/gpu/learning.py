"""Section: the fast path learns what `nn.LSTM` in float32 learns, on the same data and seeds.

The base network with half of its blocks, on tones and noise that a source has to be found in; the
curves go to learning.csv and learning.png beside the results.
"""

from __future__ import annotations

import csv
import time

import torch
from common import Section
from variants import Variant

from asteroid_bsrnn import presets
from asteroid_bsrnn.losses import L1Loss

BATCH, EVERY, TOLERANCE = 4, 50, 0.02


def batch_of(step: int, batch: int, seconds: float, device: str):
    """A mixture and its source: chords with vibrato under noise and clicks, new in every step."""
    numbers = torch.Generator().manual_seed(step)
    clock = torch.arange(int(44100 * seconds)) / 44100
    pitch = 110 * 2 ** (3 * torch.rand(batch, 1, 3, 1, generator=numbers))
    phase = 6.28 * torch.rand(batch, 2, 3, 1, generator=numbers)
    rate = 3 + 4 * torch.rand(batch, 1, 3, 1, generator=numbers)
    vibrato = 0.3 * torch.sin(6.28 * rate * clock + phase)
    source = 0.1 * torch.sin(6.28 * pitch * clock + phase + vibrato).sum(dim=2)
    noise = 0.05 * torch.randn(source.shape, generator=numbers)
    clicks = (torch.rand(source.shape, generator=numbers) > 0.9995).float()
    mixture = source + noise + 0.5 * clicks
    return mixture.to(device), source.unsqueeze(1).to(device)


def curve(variant: Variant, section: Section, n_steps: int, seconds: float) -> list[float]:
    """The loss of every step."""
    device = section.device
    torch.manual_seed(0)
    size = {"feature_dim": 16, "n_repeats": 1} if section.quick else {"n_repeats": 4}
    network = presets.build("bsrnn", "vocals", **size).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of, losses = L1Loss(), []
    for step in range(n_steps):
        if section.left < 5 and not section.quick:
            break
        mixture, sources = batch_of(step, BATCH, seconds, device)
        optimizer.zero_grad(set_to_none=True)
        with variant.running(device):
            estimates, spectrograms = network.forward_with_spectrogram(mixture)
            loss = loss_of(estimates, sources, spectrograms, network.encoder(sources))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def write(section: Section, curves: dict[str, list[float]]) -> None:
    """The curves as a table and as a picture."""
    folder = section.results.parent
    with (folder / "learning.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["step", *curves])
        rows.writerows(
            [step + 1, *losses] for step, losses in enumerate(zip(*curves.values(), strict=False))
        )
    try:
        import matplotlib
    except ImportError:
        section.add("plot", left_out="matplotlib is not installed")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for (name, losses), style in zip(curves.items(), ("-", "--"), strict=True):
        axes.plot(range(1, len(losses) + 1), losses, style, label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(folder / "learning.png", dpi=120)


def main() -> None:
    """Train twice and compare at every 50th step."""
    section = Section.from_command_line()
    fast = Variant(lstm="torch" if section.device == "cpu" else "triton", precision="bfloat16")
    n_steps, seconds = (6, 0.3) if section.quick else (300, 1.5)
    every = 2 if section.quick else EVERY
    curves = {}
    for variant in (Variant(precision="float32"), fast):
        began = time.monotonic()
        curves[str(variant)] = curve(variant, section, n_steps, seconds)
        section.add(str(variant), steps=len(curves[str(variant)]), s=time.monotonic() - began)
    write(section, curves)
    slow, quick = curves.values()
    steps = range(every - 1, min(len(slow), len(quick)), every)
    differences = {str(i + 1): abs(quick[i] / slow[i] - 1) for i in steps}
    # A single step's loss is mostly the luck of its batch, which is the same for both.
    complete = min(len(slow), len(quick)) == n_steps
    passed = complete and max(differences.values()) <= TOLERANCE
    section.add(
        f"relative difference at every {every}th step",
        **differences,
        tolerance=TOLERANCE,
        complete=complete,
        passed=passed,
    )
    raise SystemExit(int(not passed))


if __name__ == "__main__":
    main()
