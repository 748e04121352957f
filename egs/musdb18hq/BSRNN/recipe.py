"""The parts of a run, built from the command line and the configuration; all stages share them."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import data_groups
from asteroid_bsrnn import UserError, presets, zoo
from asteroid_bsrnn.data import (
    MUSDB18HQ_INFOS,
    Augmentations,
    EpochSampler,
    RandomSegments,
    Track,
    WholeTracks,
    detect_activity,
    find_tracks,
    peak_normalise,
)
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.files import read_names
from asteroid_bsrnn.losses import L1Loss
from asteroid_bsrnn.masknn.separator import MODES, set_activation_checkpointing
from asteroid_bsrnn.weights.cache import sha256_of
from asteroid_bsrnn.weights.start import start_from

HERE = Path(__file__).parent
PRECISIONS = {"32": "32-true"}
# Lower limits of amounts.
AMOUNTS = {
    1: (
        "data.samples_per_epoch",
        "training.batch_size",
        "training.accumulate",
        "training.examples_per_step",
        "training.max_epochs",
    ),
    0: ("data.workers", "training.patience", "training.checkpoint_minutes"),
}


def parser(description: str, model: str = "--row") -> argparse.ArgumentParser:
    """Return a parser with the options that all stages share.

    Args:
        description: of the stage.
        model: name of the option that names what is trained; without a default unless "--row".
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--root", required=True, help="folder with train/ and test/ in it")
    if model == "--row":
        help_of_rows = "a file of conf/rows, or a path ending in .yml; default: bsrnn"
        options.add_argument("--row", default="bsrnn", help=help_of_rows)
    options.add_argument("--source", help="left out for rows of several sources")
    options.add_argument("--exp_dir", required=True, help="folder of the run")
    options.add_argument("--seed", type=int, help="default: the configuration's")
    options.add_argument("--precision", help="32, bf16-mixed or 16-mixed")
    options.add_argument(
        "--set", nargs="+", default=[], metavar="GROUP.KEY=VALUE", help="changes the configuration"
    )
    return options


def rows() -> list[str]:
    """Return the names of all rows."""
    return sorted(path.stem for path in (HERE / "conf" / "rows").glob("*.yml"))


def resolve(row: str, source: str | None, changes: dict | None = None) -> dict:
    """Return the whole configuration of a row, with a user's changes.

    Args:
        row: name of a file of `conf/rows`, or the path of such a file elsewhere, ending in .yml.
        source: the target, None for rows of several sources.
        changes: by group and key.

    Raises:
        UserError: for an unknown row or key, a value of a wrong type, or a source that does not
            go with the row.
    """
    row, base, config = merged(row, changes)
    _check_combinations(config, row, source)
    check_amounts(config)
    return {"run": {"row": row, "source": source}, **data_groups.complete(config, base)}


def merged(row: str, changes: dict | None = None) -> tuple[str, dict, dict]:
    """Return the name of a row, the base configuration, and the row's with a user's changes.

    Raises:
        UserError: for an unknown row or key, or a value of a wrong type.
    """
    if row.endswith(".yml"):
        path = Path(row)
    elif row in rows():
        path = HERE / "conf" / "rows" / f"{row}.yml"
    else:
        raise UserError(f"unknown row {row!r}; valid: {', '.join(rows())}, or a path in .yml")
    base = configuration.load(HERE / "local" / "conf.yml")
    config = configuration.merge(
        base, (str(path), configuration.load(path)), ("the changes", changes or {})
    )
    return path.stem, base, config


def check_amounts(config: dict) -> None:
    """Refuse amounts for which nothing would be trained.

    Raises:
        UserError: naming the key.
    """
    for least, names in AMOUNTS.items():
        for name in names:
            group, _, key = name.partition(".")
            value = config[group][key]
            if value is not None and value < least:
                raise UserError(f"{name} must be {least} or more, got {value}")
    if config["data"]["segment"] <= 0:
        raise UserError(
            f"data.segment must be more than 0 seconds, got {config['data']['segment']}"
        )


def _check_combinations(config: dict, row: str, source: str | None) -> None:
    """Refuse settings that exclude each other."""
    preset = config["model"]["preset"]
    described = data_groups.layout_of(config)
    try:
        simo = presets.is_simo(preset)
        stems = described.stems if simo else described.names
        arguments = {**presets.arguments(preset, source, list(stems)), **config["model"]}
    except ValueError as error:
        raise UserError(f"row {row}: {error}") from error
    data_groups.check_sources(arguments, described)
    data_groups.check_layout(config, source, arguments)
    augmentation = config["augmentation"]
    if augmentation["gain_db"] and augmentation["gain_linear"]:
        raise UserError("augmentation.gain_db and augmentation.gain_linear exclude each other")
    if augmentation["silent_target"] and source is None:
        raise UserError("augmentation.silent_target needs a single target; choose silent_source")
    mode = config["training"]["activation_checkpointing"]
    if mode not in MODES:
        raise UserError(f"training.activation_checkpointing is {mode!r}; valid: {', '.join(MODES)}")
    if config["training"]["accumulate"] > 1 and config["training"]["examples_per_step"]:
        raise UserError("training.accumulate and training.examples_per_step exclude each other")


def configure(options: argparse.Namespace) -> dict:
    """Return the configuration that the command line asks for."""
    return resolve(options.row, options.source, changes_of(options))


def changes_of(options: argparse.Namespace) -> dict:
    """Return the changes of the configuration by `--set`, `--seed` and `--precision`."""
    changes = configuration.parse_changes(options.set)
    training = changes.setdefault("training", {})
    if options.seed is not None:
        training["seed"] = options.seed
    if options.precision is not None:
        training["precision"] = PRECISIONS.get(options.precision, options.precision)
    return changes


def out_of_memory(config: dict) -> str:
    """Return the message for a training that needs too much memory, with what would help.

    Args:
        config: the resolved configuration; settings that it has already are left out.
    """
    training = config["training"]
    stronger = MODES[MODES.index(training["activation_checkpointing"]) + 1 :]
    advice = [f"training.activation_checkpointing={mode}" for mode in stronger[:1]]
    if training["precision"] == "32-true":
        advice.append("training.precision=bf16-mixed")
    batch = training["batch_size"]
    if batch > 1:
        fewer = max(divisor for divisor in range(1, batch) if batch % divisor == 0)
        accumulate = training["accumulate"] * batch // fewer
        same = "" if training["examples_per_step"] else f" training.accumulate={accumulate}"
        advice.append(f"training.batch_size={fewer}{same}")
    else:
        advice.append(f"data.segment={config['data']['segment'] / 2:g}")
    return f"out of memory: try --set {', then also '.join(advice)}"


def build_model(config: dict) -> torch.nn.Module:
    """Return the network, with random weights or those that the configuration starts from."""
    arguments = dict(config["model"])
    preset, described = arguments.pop("preset"), data_groups.layout_of(config)
    stems = described.stems if presets.is_simo(preset) else described.names
    try:
        network = presets.build(preset, config["run"]["source"], stems=list(stems), **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"model: {error}") from error
    set_activation_checkpointing(network, config["training"]["activation_checkpointing"])
    if config["training"]["start_from"] is not None:
        _load_weights(network, config["training"]["start_from"])
    return network


def _load_weights(network: torch.nn.Module, path: str) -> None:
    """Load weights into the network, as far as they fit, and print what was kept."""
    from pytorch_lightning.utilities import rank_zero_info

    published = zoo.load(path)
    try:
        kept = start_from(network, published)
    except UserError as error:
        raise UserError(f"training.start_from: {path}: {error}") from None
    rank_zero_info(f"training.start_from: {path}: {kept}")


def build_loss(config: dict) -> L1Loss:
    """Return the training loss."""
    try:
        return L1Loss(config["loss"]["domain"])
    except ValueError as error:
        raise UserError(f"loss.domain: {error}") from error


def validation_names(config: dict) -> list[str] | None:
    """Return the names of the validation tracks; None means those of musdb."""
    try:
        return read_names(config["data"]["validation_tracks"])
    except UserError as error:
        raise UserError(f"data.validation_tracks: {error}") from error


def contents(config: dict) -> dict[str, str]:
    """Return the SHA-256 of the files that settings name, by the setting.

    A run may resume with the same file at another path. Of validation tracks, the names count.
    """
    names, start = validation_names(config), config["training"]["start_from"]
    found = {}
    if names is not None:
        found["data.validation_tracks"] = hashlib.sha256(
            "\n".join(sorted(set(names))).encode()
        ).hexdigest()
    songs = data_groups.facts_of_songs(config)
    if songs is not None:
        found["unlabelled.selection"] = songs["selection_sha256"]
    if start is not None and Path(start).is_file():
        found["training.start_from"] = sha256_of(start)
    return found


def build_tracks(config: dict, root: str, split: str) -> list[Track]:
    """Return the tracks of the training data for "train" or "valid"."""
    described = data_groups.layout_of(config)
    return find_tracks(
        root,
        "train",
        split,
        validation_tracks=validation_names(config),
        with_mixture=described.mixture is not None,
        layout=described,
    )


def build_activity(config: dict, root: str, tracks: Sequence[Track], progress=None) -> dict | None:
    """Return the active windows of every stem, cached; None without activity detection."""
    data = config["data"]
    if not data["activity_detection"]:
        return None
    return detect_activity(
        root,
        tracks,
        cache_folder=data["activity_folder"],
        workers=max(data["workers"], 1),
        progress=progress,
    )


def data_infos(config: dict):
    """Return the name and licences of the data; None means the name of the folder."""
    given = config["data"]["infos"]
    if given is None:
        return MUSDB18HQ_INFOS if config["data"]["musdb18hq"] else None
    try:
        infos = json.loads(Path(given).read_text(encoding="utf-8"))
        return {"dataset": str(infos["dataset"]), "licenses": list(infos["licenses"])}
    except OSError as error:
        raise UserError(f"data.infos: {given}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"data.infos: {given}: must be JSON with the data's 'dataset', a name, and 'licenses'"
        ) from None


def build_train_loader(
    config: dict, root: str, tracks: Sequence[Track], sample_rate: float, rank: int, world_size: int
) -> DataLoader:
    """Return a loader of training batches for one rank.

    Raises:
        UserError: if the tracks cannot be read, or an epoch has fewer examples than a batch.
    """
    data, training = config["data"], config["training"]
    if data["samples_per_epoch"] < training["batch_size"] * world_size:
        raise UserError(
            f"data.samples_per_epoch ({data['samples_per_epoch']}) is less than one batch "
            f"(training.batch_size {training['batch_size']} x {world_size} device(s)): nothing "
            "would be trained"
        )
    dataset = RandomSegments(
        tracks,
        segment=data["segment"],
        samples_per_epoch=data["samples_per_epoch"],
        seed=training["seed"],
        activity=build_activity(config, root, tracks),
        mix_tracks=data["mix_tracks"],
        speed=data["speed"],
        sample_rate=int(sample_rate),
        infos=data_infos(config),
    )
    return DataLoader(
        data_groups.with_songs(config, dataset),
        batch_size=training["batch_size"],
        sampler=EpochSampler(data["samples_per_epoch"], rank, world_size),
        num_workers=data["workers"],
        persistent_workers=data["workers"] > 0,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
    )


def build_validation_loader(
    config: dict, tracks: Sequence[Track], sample_rate: float, rank: int, world_size: int
) -> DataLoader:
    """Return a loader of whole validation tracks, each on one of the ranks."""
    dataset = WholeTracks(
        tracks,
        mixture="sum" if data_groups.layout_of(config).mixture is None else "file",
        sample_rate=int(sample_rate),
        infos=data_infos(config),
    )
    # Lightning needs a track on every rank. A track that is scored twice counts once.
    numbers = range(rank, len(dataset), world_size) or [rank % len(dataset)]
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=numbers,
        num_workers=min(config["data"]["workers"], 1),
        pin_memory=torch.cuda.is_available(),
    )


def build_overfit_loaders(
    config: dict, tracks: Sequence[Track], sample_rate: float, n_batches: int
) -> tuple[DataLoader, DataLoader]:
    """Return loaders of the same batches in every epoch, and of their examples as tracks."""
    training = config["training"]
    n_examples = n_batches * training["batch_size"]
    dataset = RandomSegments(
        tracks,
        segment=config["data"]["segment"],
        samples_per_epoch=n_examples,
        seed=training["seed"],
        sample_rate=int(sample_rate),
    )
    return (
        DataLoader(dataset, batch_size=training["batch_size"]),
        DataLoader(_ExamplesAsTracks(dataset), batch_size=None),
    )


class _ExamplesAsTracks:
    """Training examples in the form of validation tracks."""

    def __init__(self, examples: RandomSegments):
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict:
        sources = self.examples[index]["sources"]
        return {"index": index, "mixture": sources.sum(dim=0), "sources": sources}


def build_augmentations(config: dict) -> Augmentations | None:
    """Return the augmentations of the row, in the order in which they are applied."""
    chosen = config["augmentation"]
    steps = [
        {name: {"low": chosen[name][0], "high": chosen[name][1]}}
        for name in ("gain_db", "gain_linear")
        if chosen[name]
    ]
    names = (
        "equaliser",
        "stereo_width",
        "channel_swap",
        "silent_source",
        "silent_target",
        "shift",
        "band_limit",
    )
    steps += [{name: {"p": chosen[name]}} for name in names if chosen[name]]
    source, described = config["run"]["source"], data_groups.layout_of(config)
    stems = list(described.stems)
    targets = [stems.index(part) for part in (described.parts(source) if source else stems)]
    return Augmentations(steps, targets=targets) if steps else None


def build_normalisation(config: dict):
    """Return the function that normalises mixture and targets, or None."""
    return peak_normalise if config["augmentation"]["peak_normalisation"] else None
