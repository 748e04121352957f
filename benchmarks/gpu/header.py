"""Section `header`: versions and device."""

from __future__ import annotations

import torch
from common import Section

try:
    from asteroid_bsrnn import __version__
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing}: bring it along, see benchmarks/gpu.sh --help") from None


def main() -> None:
    """Add the versions and the device to the results."""
    section = Section.from_command_line()
    if section.device == "cuda" and not torch.cuda.is_available():
        section.add("error", message="no GPU: torch.cuda.is_available() is False")
        raise SystemExit("no GPU is there; --device cpu --quick tries the script without one")
    try:
        import triton

        triton_version = triton.__version__
    except ImportError:
        triton_version = None
    versions = {"package": __version__, "torch": torch.__version__, "triton": triton_version}
    if section.device == "cpu":
        from asteroid_bsrnn.costs.environment import hardware

        section.add("machine", device=hardware()["cpu_model"] or "CPU", **versions)
        return
    gpu = torch.cuda.get_device_properties(0)
    section.add(
        "machine",
        device=gpu.name,
        memory_gib=gpu.total_memory / 2**30,
        multiprocessors=gpu.multi_processor_count,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        **versions,
    )


if __name__ == "__main__":
    main()
