"""Section `layers`: forward and backward of one bidirectional LSTM, and its fastest tiles.

The results decide the entries of `MEASURED` in `asteroid_bsrnn/kernels/choose.py`, and the tiles in
`lstm_triton.py`.
"""

from __future__ import annotations

import torch
from common import Section, repeated, spread
from torch import nn

from asteroid_bsrnn import kernels

# (T, B, N, H): time and band layers of obsrnn and bsrnn at batch 8, and smaller ones.
SHAPES = [(259, 656, 128, 256), (41, 4144, 128, 256), (259, 656, 64, 128), (41, 4144, 64, 128),
          (259, 656, 32, 64)]  # fmt: skip
TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def measure(shape: tuple, dtype: torch.dtype, lstm: str, section: Section, tf32: bool) -> dict:
    """Return the times of forward and backward."""
    n_steps, n_batch, n_features, n_hidden = shape
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.manual_seed(0)
    module = nn.LSTM(n_features, n_hidden, bidirectional=True).to(section.device, dtype)
    x = torch.randn(n_steps, n_batch, n_features, device=section.device, dtype=dtype)
    gradient = torch.randn(n_steps, n_batch, 2 * n_hidden, device=section.device, dtype=dtype)
    x.requires_grad_()

    def forward() -> torch.Tensor:
        return kernels.lstm(x, module, lstm)

    def both() -> None:
        torch.autograd.grad(forward(), [x, *module.parameters()], gradient)

    seconds = 0.5
    with torch.no_grad():
        alone = spread(repeated(forward, section, seconds=seconds))
    figures = spread(repeated(both, section, seconds=seconds))
    return {**figures, "forward_s": alone["median_s"]}


def sweep(shape: tuple, kernel: str, section: Section) -> dict:
    """Return the times of a kernel in bfloat16 for several tiles."""
    from asteroid_bsrnn.kernels import lstm_triton

    n_steps, n_batch, _, n_hidden = shape
    new = {"device": section.device, "dtype": torch.bfloat16}
    weight = 0.06 * torch.randn(2, 4 * n_hidden, n_hidden, **new)
    gates = torch.randn(n_steps, n_batch, 2, 4 * n_hidden, **new)
    states, cells = (torch.randn(n_steps, n_batch, 2 * n_hidden, **new) for _ in range(2))
    limits = lstm_triton.limits(gates.device)
    chosen = lstm_triton.choose_tiles(kernel, n_batch, n_hidden, 2, *limits)
    found = {}
    for tiles in candidates(lstm_triton.Tiles, chosen):
        if section.left < 10:
            break

        def call(tiles=tiles) -> None:
            if kernel == "forward":
                lstm_triton.forward(gates, weight, save_cells=True, tiles=tiles)
            else:
                lstm_triton.backward(gates, weight, cells, states, tiles=tiles)

        words = f"{tiles.batch}/{tiles.hidden}/{tiles.inner}/{tiles.n_warps}/{tiles.n_stages}"
        try:
            found[words] = 1000 * spread(repeated(call, section, seconds=0.1))["median_s"]
        except Exception as error:  # for example too little shared memory
            found[words] = type(error).__name__
    times = {words: ms for words, ms in found.items() if isinstance(ms, float)}
    best = min(times, key=times.get) if times else None
    return {"chosen": next(iter(found), None), "best": best, "ms": found}


def candidates(make, chosen) -> list:
    """Return the chosen tiles, followed by alternatives."""
    others = [
        make(batch, hidden, inner, warps, stages)
        for batch in (chosen.batch, 32 if chosen.batch != 32 else 16)
        for hidden, inner, warps, stages in (
            (64, 64, 8, 3), (32, 64, 4, 4), (32, 128, 8, 3), (64, 128, 8, 2), (64, 64, 4, 3)
        )
    ]  # fmt: skip
    return list(dict.fromkeys([chosen, *others]))


def main() -> None:
    """Measure the layers, then the tiles."""
    section = Section.from_command_line()
    shapes = [(9, 8, 16, 32)] if section.quick else SHAPES
    for shape in shapes:
        for label, dtype in TYPES.items():
            for lstm in ("triton", "torch"):
                name = f"(T, B, N, H) = {shape}, {label}{' (TF32)' if label == 'float32' else ''}"
                name += f", {'Triton' if lstm == 'triton' else 'nn.LSTM'}"
                if lstm == "triton" and section.device == "cpu":
                    section.add(name, left_out="needs a GPU")
                    continue
                section.attempt(
                    name,
                    lambda shape=shape, dtype=dtype, lstm=lstm: measure(
                        shape, dtype, lstm, section, True
                    ),
                    seconds=0 if section.quick else 4,
                )
    if section.device == "cpu":
        section.add("tiles", left_out="needs a GPU")
        return
    for shape in shapes[:3]:
        for kernel in ("forward", "backward"):
            section.attempt(
                f"tiles of {kernel} at (T, B, N, H) = {shape}",
                lambda shape=shape, kernel=kernel: sweep(shape, kernel, section),
                seconds=12,
            )


if __name__ == "__main__":
    main()
