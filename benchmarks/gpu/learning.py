"""Section `learning`: learning curves of the fast path and of `nn.LSTM` in float32.

The network is the base model with half of its blocks (a quarter on a CPU); the data are tones under
noise and clicks, the same for all runs. The learning rate starts at the paper's value for this
batch and decays to 0 as a cosine, because at a constant rate runs diverge once the loss has
settled. A third run in float32, from weights changed by 1e-7, shows how far equal runs diverge. The
curves are written to learning.csv and learning.png beside the results.
"""

from __future__ import annotations

import csv
import time
from itertools import zip_longest

import torch
from common import Section
from variants import Variant

from asteroid_bsrnn import presets
from asteroid_bsrnn.losses import L1Loss

BATCH, EVERY, TOLERANCE = 4, 50, 0.02
# arXiv 2603.09187 uses 1e-3 for 16 examples per step; the rate is proportional to their number.
LEARNING_RATE = 1e-3 * BATCH / 16
OFF = 1e-7


def batch_of(step: int, batch: int, seconds: float, device: str):
    """Return a mixture and its source: chords with vibrato under noise and clicks."""
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


def curve(
    variant: Variant, section: Section, n_steps: int, seconds: float, off: float = 0.0
) -> list[float]:
    """Return the loss of every step; `off` is the relative change of the initial weights."""
    device = section.device
    torch.manual_seed(0)
    size = {"n_repeats": 4 if device == "cuda" else 2}
    size = {"feature_dim": 16, "n_repeats": 1} if section.quick else size
    network = presets.build("bsrnn", "vocals", **size)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 1 + off * torch.randn_like(weight)
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
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
        scheduler.step()
        losses.append(loss.detach())
    return [loss.item() for loss in losses]


def write(section: Section, curves: dict[str, list[float]]) -> None:
    """Write the curves as a table and as a picture."""
    folder = section.results.parent
    with (folder / "learning.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["step", *curves])
        steps = zip_longest(*curves.values(), fillvalue="")  # later curves may have fewer steps
        rows.writerows([number, *losses] for number, losses in enumerate(steps, start=1))
    try:
        import matplotlib
    except ImportError:
        section.add("plot", left_out="matplotlib is not installed")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for (name, losses), style in zip(curves.items(), ("-", "--", ":"), strict=True):
        axes.plot(range(1, len(losses) + 1), losses, style, label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(folder / "learning.png", dpi=120)


def differences(curves: dict[str, list[float]], name: str, every: int) -> dict[str, float]:
    """Return the relative distance of a curve from the first one at every `every`-th step."""
    first = next(iter(curves.values()))
    steps = range(every - 1, min(len(first), len(curves[name])), every)
    return {str(i + 1): abs(curves[name][i] / first[i] - 1) for i in steps}


def main() -> None:
    """Train three times and compare at every 50th step."""
    section = Section.from_command_line()
    slow = Variant(precision="float32")
    fast = Variant(lstm="torch" if section.device == "cpu" else "triton", precision="bfloat16")
    n_steps, every = (6, 2) if section.quick else (300, EVERY)
    seconds = 0.3 if section.quick else 1.5 if section.device == "cuda" else 1.0
    again = f"{slow}, weights {OFF:g} off"
    curves = {}
    for name, variant, off in ((str(slow), slow, 0.0), (str(fast), fast, 0.0), (again, slow, OFF)):
        began = time.monotonic()
        curves[name] = curve(variant, section, n_steps, seconds, off)
        section.add(name, steps=len(curves[name]), s=time.monotonic() - began)
    write(section, curves)
    # The loss of a single step depends mostly on its batch, which is the same for all runs.
    found = differences(curves, str(fast), every)
    complete = len(curves[str(fast)]) == n_steps
    passed = complete and max(found.values()) <= TOLERANCE
    section.add(
        f"relative difference at every {every}th step",
        **found,
        tolerance=TOLERANCE,
        complete=complete,
        passed=passed,
    )
    section.add(f"the same of float32, weights {OFF:g} off", **differences(curves, again, every))
    raise SystemExit(int(not passed))


if __name__ == "__main__":
    main()
