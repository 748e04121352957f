"""`asteroid-bsrnn models`."""

from __future__ import annotations

import argparse

from .. import presets, zoo


def add_models(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "models",
        help="list what can be loaded",
        description="List the pretrained weights that --model and torch.hub load by name, and the "
        "presets that make networks to be trained.",
    )
    parser.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> int:
    print("Pretrained weights (--model NAME, zoo.load, torch.hub):")
    for entry in zoo.registry().values():
        print(f"\n  {entry.name}: {entry.description}")
        print(f"    sources   {', '.join(entry.sources)}")
        print(f"    where     {_where(entry)}")
        print(f"    licence   {entry.licence}")
        print(f"    trained   {entry.training_data}")
        for measure, values in entry.figures.items():
            print(f"    {measure}  {_figures(values)}")
    print("\nPresets (presets.build, random weights to be trained):")
    for name in presets.names():
        kind = "one network for all sources" if presets.is_simo(name) else "one network a source"
        print(f"  {name:20s} {kind}")
    return 0


def _where(entry: zoo.Pretrained) -> str:
    if entry.embedded:
        return "ships with the package"
    if entry.urls:
        return "downloaded at first use"
    if zoo.imported_path(entry.name).is_file():
        return "imported"
    return (
        f"to be had by hand: {entry.homepage}, then: asteroid-bsrnn convert FOLDER "
        f"--name {entry.name}"
    )


def _figures(values) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{name} {value}" for name, value in values.items())
    return str(values)
