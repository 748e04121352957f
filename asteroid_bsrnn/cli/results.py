"""The commands that put results side by side: `asteroid-bsrnn compare` and `report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import read_names, write_json, writing_to
from ..options import TESTS
from ..tables import check_format
from .evaluate import add_evaluation, evaluate_all, open_data
from .options import count, local_path, name, number_within, separator_options
from .terminal import show

if TYPE_CHECKING:
    from ..evaluation.records import Candidate, Record


# Everything else is imported where it is used: it needs torch, which --help must not wait for.


def add_compare(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "compare",
        description="Print one table of models on the same tracks: uSDR and cSDR with bootstrap "
        "intervals, paired tests, parameters, multiply-accumulates, speed and memory on this "
        "device, and the hours and kWh of the training if there is a ledger. Means and tests are "
        "over the sources that all models estimate.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=name,
        metavar="RECORDS|MODEL",
        help="folders of results of evaluate, or folders of such folders; with --root also models, "
        "which are evaluated first",
    )
    parser.add_argument("--root", type=local_path, metavar="DATA", help="as for evaluate")
    parser.add_argument(
        "-o",
        "--table",
        type=local_path,
        action="append",
        default=[],
        metavar="FILE",
        help="also write the table to FILE.md, .csv, .tex, .json or .txt; repeatable",
    )
    parser.add_argument(
        "--test",
        choices=TESTS,
        default="wilcoxon",
        help="paired test between models; default: %(default)s",
    )
    _add_costs(parser.add_argument_group("costs"))
    add_evaluation(parser)
    parser.set_defaults(run=_compare)


def _add_costs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--costs",
        choices=("now", "recorded", "none"),
        default="now",
        help="measure speed and memory now, on this device; use recorded measurements; or "
        "leave them out; default: %(default)s",
    )
    group.add_argument(
        "--cost-seconds",
        type=number_within(above=0),
        default=10.0,
        metavar="SECONDS",
        help="audio to measure with; default: %(default)g",
    )
    group.add_argument(
        "--cost-repeats", type=count, default=5, metavar="N", help="default: %(default)s"
    )


def _compare(options: argparse.Namespace) -> int:
    from ..evaluation import comparison, comparison_table

    for table in options.table:
        check_format(table, comparison_table.FORMATS)
    found, models = _inputs(options)
    if models or options.oracles:
        known = {record.folder.resolve() for record in found}
        made = evaluate_all(models, open_data(options), options)
        found += [record for record in made if record.folder.resolve() not in known]
    result = comparison.compare(found, costs=_costs(found, options), test=options.test)
    show(comparison_table.to_text(result).rstrip())
    for table in options.table:
        comparison_table.write(result, table)
    return 0


def _inputs(options: argparse.Namespace) -> tuple[list[Record], list[Candidate]]:
    """Return existing results, and models to evaluate."""
    from ..evaluation import records
    from ..weights.find import file_of_run

    folders: list[Path] = []
    models = []
    for given in options.inputs:
        path = Path(given)
        found = records.find_records(path)
        is_run = path.is_dir() and file_of_run(path) is not None
        if found and not (is_run and options.root):
            folders += found
        elif options.root:
            models.append(records.candidate(given))
        elif path.is_dir() and not is_run:
            raise UserError(f"{given}: holds no results; make them with asteroid-bsrnn evaluate")
        else:
            records.candidate(given)  # reports a name that is no model either
            raise UserError(f"{given}: a model, not results; give --root to evaluate it first")
    if options.oracles and not options.root:
        raise UserError("--oracles needs the data: give --root")
    return [records.read_record(folder) for folder in folders], models


def _costs(found: list[Record], options: argparse.Namespace) -> dict[Path, dict]:
    """Return the costs of each model, by its record's folder."""
    from ..evaluation import comparison

    costs_of: dict[Path, dict] = {}
    for record in found:
        if options.costs == "none" or record.is_reference_point:
            continue
        known = comparison.read_costs(record)
        if options.costs == "now":
            known = _measured(record, options, known)
        if known is not None:
            costs_of[record.folder] = known
    return costs_of


def _measured(record: Record, options: argparse.Namespace, known: dict | None):
    """Measure the costs of a model; recorded operation counts are reused."""
    from ..evaluation import comparison, records, speed

    if record.model["kind"] == "estimates":
        return known  # no weights to measure
    path = records.weights_of(record.model, record.folder)
    if path is None:
        print(f"{record.label}: its weights are gone; nothing is measured", file=sys.stderr)
        return known
    # The settings of the evaluation, on the device of the command line.
    separator = {
        **record.summary["settings"]["separator"],
        **{key: separator_options(options)[key] for key in ("device", "batch_size")},
    }
    counted = (known or {}).get("macs_per_second")
    measured = speed.measure(
        path,
        separator,
        seconds=options.cost_seconds,
        repeats=options.cost_repeats,
        count=counted is None,
    )
    if counted is not None:
        measured["macs_per_second"] = counted
    target = record.folder / comparison.COSTS_FILE
    with writing_to(target):
        write_json(target, measured)
    return measured


def add_report(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "report",
        description="Write a folder with a web page that opens from disk without a network: tables "
        "with links to the records, charts (also as PNG and SVG), learning curves, the paper's "
        "table, and players that switch between models.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=local_path,
        metavar="RUNS",
        help="folders of results of evaluate, or of training runs, or folders of those; or a "
        "comparison written by compare -o FILE.json",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=local_path,
        default="report",
        metavar="DIR",
        help="the report's folder; default: %(default)s",
    )
    parser.add_argument("--title", default="Music source separation, compared", help="of the page")
    parser.add_argument("--test", choices=TESTS, default="wilcoxon", help="as in compare")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing report")
    listening = parser.add_argument_group("players")
    listening.add_argument(
        "--root",
        type=local_path,
        action="append",
        default=[],
        metavar="DATA",
        help="data of the evaluation, to listen to; repeatable; without it the report has no "
        "players",
    )
    listening.add_argument(
        "--tracks",
        nargs="+",
        default=["3"],
        metavar="N|TRACK",
        help="how many tracks, from the worst separated to the best, or their names; default: 3",
    )
    listening.add_argument(
        "--seconds",
        type=number_within(above=0),
        default=15.0,
        metavar="SECONDS",
        help="length of each excerpt; default: %(default)g",
    )
    listening.add_argument(
        "--validation-tracks", type=local_path, metavar="FILE", help="as in evaluate"
    )
    listening.add_argument("--device", default="auto", help="to separate on; default: %(default)s")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from ..progress import progress_bar
    from ..report import Options, build

    wanted = Options(
        title=options.title,
        roots=tuple(options.root),
        tracks=_tracks(options.tracks),
        seconds=options.seconds,
        validation_tracks=read_names(options.validation_tracks),
        test=options.test,
        device=options.device,
        overwrite=options.overwrite,
    )
    with progress_bar("models") as progress:
        page, notes = build(
            [Path(given) for given in options.inputs], options.output, wanted, progress
        )
    for note in notes:
        print(note, file=sys.stderr)
    show(str(page))
    return 0


def _tracks(given: list[str]) -> int | list[str]:
    """Return a number of tracks, or names."""
    if len(given) == 1 and given[0].isdecimal():
        return int(given[0])
    if not all(given):
        raise UserError("--tracks: a name is empty; was a variable not set?")
    return given
