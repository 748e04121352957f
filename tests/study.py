"""Archives of checkpoints in the form in which the replication study publishes its weights.

Run as a program it makes one at true size: python -m tests.study obsrnn_simo FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from asteroid_bsrnn import bands, presets, zoo
from asteroid_bsrnn.bands import band_widths, default_table

SOURCES = list(presets.SOURCES)

# Tables of a few wide bands. As in the package's, those of vocals and other are alike.
FEW_BANDS = {
    "vocals": ((3, 1000), (2, 2000)),
    "bass": ((2, 1000), (3, 2000)),
    "drums": ((2, 500), (2, 1000), (2, 2000)),
    "other": ((3, 1000), (2, 2000)),
    "joint": ((4, 1000), (2, 2000)),
}
# The command line in a process of its own, with these tables.
MAIN_WITH_FEW_BANDS = f"""
import sys
from asteroid_bsrnn import bands, cli
bands.TABLES.update({FEW_BANDS!r})
sys.exit(cli.main(sys.argv[1:]))
"""


@contextmanager
def few_bands() -> Iterator[None]:
    """Replace the tables of bands by `FEW_BANDS` in the block.

    The study's checkpoints have a dozen tensors for each band. To save, load and convert them takes
    a tenth of the time with a few bands.
    """
    tables = dict(bands.TABLES)
    bands.TABLES.update(FEW_BANDS)
    try:
        yield
    finally:
        bands.TABLES.update(tables)


@contextmanager
def omegaconf_lookalikes() -> Iterator[types.ModuleType]:
    """Look-alikes of OmegaConf's containers, importable inside of the block only.

    OmegaConf itself, if another test has imported it, is set aside meanwhile.
    """
    names = [name for name in sys.modules if name.split(".")[0] == "omegaconf"]
    aside = {name: sys.modules.pop(name) for name in names}
    package = types.ModuleType("omegaconf")
    modules = {"omegaconf": package}
    for name, class_names in {
        "dictconfig": ["DictConfig"],
        "listconfig": ["ListConfig"],
        "nodes": ["AnyNode"],
        "base": ["ContainerMetadata", "Metadata"],
    }.items():
        module = modules[f"omegaconf.{name}"] = types.ModuleType(f"omegaconf.{name}")
        for class_name in class_names:
            made = type(class_name, (), {"__module__": module.__name__})
            setattr(module, class_name, made)
            setattr(package, class_name, made)
    sys.modules.update(modules)
    try:
        yield package
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(aside)


def wrap(omegaconf, value, parent=None):
    """`value` in OmegaConf's structure: content, metadata, and the way back to the parent."""
    kind = {dict: "DictConfig", list: "ListConfig"}.get(type(value), "AnyNode")
    node = getattr(omegaconf, kind)()
    metadata = omegaconf.ContainerMetadata() if kind != "AnyNode" else omegaconf.Metadata()
    metadata.__dict__.update(ref_type=type(value), key=None, resolver_cache=OrderedDict())
    node.__dict__.update(_metadata=metadata, _parent=parent, _flags_cache=None)
    if isinstance(value, dict):
        content = {key: wrap(omegaconf, item, node) for key, item in value.items()}
        node.__dict__["_content"] = content
    elif isinstance(value, list):
        node.__dict__["_content"] = [wrap(omegaconf, item, node) for item in value]
    else:
        node.__dict__["_val"] = value
    return node


def configuration(sources: Sequence[str], n: int, n_repeats: int, optimized: bool) -> dict:
    """The study's constructor arguments."""
    shared = {
        "sample_rate": 44100, "n_fft": 2048, "n_hop": 512, "eps": 1e-7, "nb_channels": 2,
        "feature_dim": n, "joint_bandsplit": len(sources) > 1, "num_repeat": n_repeats,
        "fac_sep": 2, "time_layer": "lstm", "band_layer": "lstm", "bidirectional": True,
        "fac_mask": 4, "mask_ctxt": 0, "subtract_last_trgt": False, "n_heads": 1, "group_num": 1,
        "n_att_head": 0, "attn_enc_dim": 16, "stereo": None, "fac_tac": 3, "act_tac": "prelu",
    }  # fmt: skip
    return {**shared, "n_att_head": 2, "stereo": "tac"} if optimized else shared


def state_dict(
    sources: Sequence[str], n: int = 4, n_repeats: int = 1, optimized: bool = False
) -> dict[str, torch.Tensor]:
    """Parameters under the study's names: one module for each band, source and layer."""
    torch.manual_seed(len(sources[0]))
    widths = band_widths(default_table(list(sources)))
    modules: dict[str, nn.Module] = {}
    for band, width in enumerate(widths):
        modules[f"BN.{band}.0"] = nn.GroupNorm(1, 2 * width)
        modules[f"BN.{band}.1"] = nn.Conv1d(2 * width, n, 1)
        for source in range(len(sources)):
            mask = f"maskers.{source}.mask.{band}"
            modules[f"{mask}.0"] = nn.GroupNorm(1, n)
            modules[f"{mask}.1"] = nn.Conv1d(n, 4 * n, 1)
            modules[f"{mask}.3"] = nn.Conv1d(4 * n, 4 * n, 1)
            modules[f"{mask}.5"] = nn.Conv1d(4 * n, 4 * width, 1)
    state: dict[str, torch.Tensor] = {}
    for index in range(n_repeats):
        for layer in ("time_net", "band_net"):
            prefix = f"separator.{index}.{layer}"
            modules[f"{prefix}.norm"] = nn.GroupNorm(1, n)
            modules[f"{prefix}.main_layer"] = nn.LSTM(n, 2 * n, bidirectional=True)
            modules[f"{prefix}.proj"] = nn.Linear(4 * n, n)
        if not optimized:
            continue
        prefix = f"separator.{index}.tac_module"
        activation = nn.PReLU()
        for name, sizes in (("transform", (n, 3 * n)), ("average", (3 * n, 3 * n)),
                            ("concat", (6 * n, n))):  # fmt: skip
            modules[f"{prefix}.{name}.0"] = nn.Linear(*sizes)
            modules[f"{prefix}.{name}.1"] = activation
        prefix = f"separator.{index}.attn_block"
        heads = [(f"attn_conv_{kind}_{head}", n // 2 if kind == "V" else 16)
                 for kind in "QKV" for head in range(2)]  # fmt: skip
        for name, size in [*heads, ("attn_concat_proj", n)]:
            modules[f"{prefix}.{name}.0"] = nn.Conv2d(n, size, 1)
            modules[f"{prefix}.{name}.1"] = nn.PReLU()
            state[f"{prefix}.{name}.2.gamma"] = torch.rand(1, size, 1, len(widths)) + 0.5
            state[f"{prefix}.{name}.2.beta"] = torch.randn(1, size, 1, len(widths)) / 10
    for name, module in modules.items():
        state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    state["stft.transf.window"] = state["istft.transf.window"] = torch.hann_window(2048)
    return state


def lightning_checkpoint(
    path: Path, sources: Sequence[str], n: int = 4, n_repeats: int = 1, optimized: bool = False
) -> Path:
    """A checkpoint as Lightning saves the study's networks, Adam's moments included."""
    state = state_dict(sources, n, n_repeats, optimized)
    parameters = [value for name, value in state.items() if not name.endswith("window")]
    # Moments of all parameters would triple the time that each test takes to load the file.
    parameters = parameters if n > 4 else parameters[:20]
    moments = {
        index: {
            "step": torch.tensor(3.0),
            "exp_avg": torch.randn_like(value),
            "exp_avg_sq": torch.rand_like(value),
        }
        for index, value in enumerate(parameters)
    }
    with omegaconf_lookalikes() as omegaconf:
        training = {
            "cfg_optim": {"algo": "adam", "lr": 0.001, "loss_domain": "t+tf"},
            "cfg_scheduler": {"name": "step", "gamma": 0.98, "step_size": 2},
            "cfg_eval": {"segment_len": 10, "overlap": 0.1, "hop_size": None},
        }
        hyper_parameters = {name: wrap(omegaconf, value) for name, value in training.items()}
        hyper_parameters["targets"] = wrap(omegaconf, list(sources))
        hyper_parameters |= configuration(sources, n, n_repeats, optimized)
        content = {
            "epoch": 1,
            "global_step": 3,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": OrderedDict(state),
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 1}}}},
            "callbacks": {"EarlyStopping": {"wait_count": 0, "best_score": torch.tensor(7.0)}},
            "optimizer_states": [
                {"state": moments, "param_groups": [{"lr": 1e-3, "params": list(moments)}]}
            ],
            "lr_schedulers": [{"step_size": 2, "gamma": 0.98, "last_epoch": 1}],
            "hparams_name": "kwargs",
            "hyper_parameters": hyper_parameters,
        }
        torch.save(content, path)
    return path


def archive(
    path: Path,
    networks: Sequence[Sequence[str]],
    *,
    inside: str | None = "weights",
    order: Sequence[str] | None = None,
    **sizes,
) -> Path:
    """A zip of checkpoints, one for each list of sources.

    Args:
        path: of the zip.
        networks: sources of each network; the file of several sources is `separator.ckpt`.
        inside: folder in the zip, or None.
        order: of the sources in the checkpoint of several, where it is another one.
        **sizes: of `lightning_checkpoint`.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for sources in networks:
            name = f"{sources[0] if len(sources) == 1 else 'separator'}.ckpt"
            file = lightning_checkpoint(path.with_name(name), order or sources, **sizes)
            zipped.write(file, f"{inside}/{name}" if inside else name)
            file.unlink()
    return path


def entry(path: Path, urls: Sequence[str], preset: str, **arguments) -> dict:
    """What a registry says of an archive of networks of a preset."""
    networks = [SOURCES] if presets.is_simo(preset) else [[source] for source in SOURCES]
    members = {}
    for sources in networks:
        source = None if presets.is_simo(preset) else sources[0]
        with torch.device("meta"):
            network = presets.build(preset, source, **arguments)
        name = f"{'separator' if source is None else source}.ckpt"
        count = sum(parameter.numel() for parameter in network.parameters())
        members[name] = {"sources": sources, "parameters": count}
    return {
        "description": "made-up weights",
        "sources": SOURCES,
        "licence": "none",
        "training_data": "nothing",
        "preset": preset,
        "arguments": arguments,
        "homepage": "https://example.org/record",
        "archive": {
            "file": path.name,
            "urls": list(urls),
            "bytes": path.stat().st_size,
            "checksum": f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}",
            "members": members,
        },
        "figures": {"uSDR on nothing (dB)": {"mean": 0.0}},
    }


def write_registry(path: Path, entries: dict[str, dict]) -> Path:
    """A registry of these entries and of the weights that ship."""
    from asteroid_bsrnn.weights.registry import FOLDER

    shipped = json.loads((FOLDER / "registry.json").read_text(encoding="utf-8"))
    here = {name: shipped[name] for name in (zoo.DEFAULT, "small", "small_vocals")}
    path.write_text(json.dumps({**entries, **here}), encoding="utf-8")
    return path


if __name__ == "__main__":
    _name, _folder = sys.argv[1], Path(sys.argv[2])
    _simo = presets.is_simo(_name)
    _path = archive(
        _folder / f"{_name}.zip",
        [SOURCES] if _simo else [[source] for source in SOURCES],
        n=128,
        n_repeats=12,
        optimized=_name.startswith("obsrnn"),
    )
    print(json.dumps(entry(_path, [], _name)["archive"], indent=2))
