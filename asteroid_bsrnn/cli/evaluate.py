"""`asteroid-bsrnn evaluate`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import read_names
from ..options import SPLITS
from ..tables import check_format
from .options import (
    add_chunks,
    add_computation,
    add_running,
    count,
    local_path,
    name,
    separator_options,
)
from .terminal import ForPeople, reporting

if TYPE_CHECKING:
    from ..evaluation.datasets import Estimates, EvaluationTracks
    from ..evaluation.records import Candidate, Record

# Everything else is imported where it is used: it needs torch, which --help must not wait for.


def add_evaluate(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "evaluate",
        description="Separate the tracks of a data set and score the stems: uSDR, cSDR, SI-SDR, "
        "and their gain over the mixture. Each track gets a JSON record. An interrupted evaluation "
        "resumes, and results of other settings go to another folder. A shard scores its tracks "
        "only; the same command without --shard joins the records of all shards.",
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="names, files, URLs, folders of runs, or hf:user/name on the Hugging Face Hub; "
        "LABEL=MODEL chooses the name in tables",
    )
    parser.add_argument(
        "--root",
        type=local_path,
        required=True,
        metavar="DATA",
        help="data set with train/ and test/ in the layout of MUSDB18-HQ (or of --layout), or a "
        "folder of stems (vocals.wav, ..., and sums of stems such as bass+other.wav; without a "
        "mixture.wav their sum is separated), or a folder of those",
    )
    parser.add_argument(
        "--estimates",
        action="append",
        default=[],
        type=name,
        metavar="FOLDER",
        help="score stems that another tool has written: FOLDER/<track>/<stem>.wav or "
        "FOLDER/<track>-<stem>.wav, in any audio format; LABEL=FOLDER chooses the name in tables",
    )
    add_running(add_evaluation(parser, "-o"), "tracks")
    _add_paper(parser.add_argument_group("the paper's test rows"))
    parser.set_defaults(run=_evaluate)


def _add_paper(group: argparse._ArgumentGroup) -> None:
    group.description = (
        "With --museval on the test tracks of MUSDB18-HQ, the cSDR of the study's published "
        "weights is shown beside the paper's."
    )
    group.add_argument(
        "--paper-table",
        type=local_path,
        metavar="FILE",
        help="also write this table to FILE.md, .csv or .tex",
    )
    group.add_argument(
        "--paper-any-data", action="store_true", help="show it on other data too, marked as such"
    )


def add_evaluation(parser: argparse.ArgumentParser, *output_flags: str) -> argparse._ArgumentGroup:
    """Add the options for data, scores and computation, and return the group of the last.

    `output_flags` are further names of --output.
    """
    data = parser.add_argument_group("data")
    data.add_argument(
        "--decoded",
        type=local_path,
        metavar="DIR",
        help="decode the .stem.mp4 files of MUSDB18 in --root to wav files in this folder, once; "
        "10 GB for the test tracks, 23 GB for all",
    )
    data.add_argument(
        "--split",
        choices=SPLITS,
        default="test",
        help="of the data set; train is without the validation tracks, valid has only these; "
        "default: %(default)s",
    )
    data.add_argument(
        "--validation-tracks",
        type=local_path,
        metavar="FILE",
        help="names of the validation tracks, one per line; default: those of MUSDB18-HQ",
    )
    data.add_argument(
        "--sources",
        metavar="SOURCE,...",
        help="names of the stems; default: vocals,bass,drums,other, or all of the first track",
    )
    data.add_argument(
        "--layout",
        type=local_path,
        metavar="FILE",
        help="YAML file whose group 'layout' describes the stems, sums of them, and folders of the "
        "data: a configuration of the training recipe, or the conf.yml of a run",
    )
    scores = parser.add_argument_group("scores")
    scores.add_argument(
        "--oracles",
        action="store_true",
        help="also score the mixture and oracle masks, as reference points",
    )
    scores.add_argument(
        "--museval",
        type=count,
        metavar="N",
        help="also compute museval's SDR, ISR, SIR and SAR, in N processes; takes hours",
    )
    scores.add_argument(
        *output_flags,
        "--output",
        type=local_path,
        default="evaluation",
        metavar="DIR",
        help="folder of the results, with one for each model and setting; default: %(default)s",
    )
    add_chunks(parser.add_argument_group("chunks"))
    computation = parser.add_argument_group("computation")
    # The default precision does not depend on the machine, so that scores are comparable.
    add_computation(computation, precision="32")
    return computation


def open_data(options: argparse.Namespace) -> EvaluationTracks:
    """Find the tracks, and warn of those without a mixture."""
    from ..data import read_layout
    from ..evaluation import datasets

    root = options.root if options.decoded is None else _decode(options)
    data = datasets.EvaluationTracks(
        root,
        options.split,
        sources=options.sources.split(",") if options.sources else None,
        validation_tracks=read_names(options.validation_tracks),
        layout=None if options.layout is None else read_layout(options.layout),
    )
    if data.without_mixture and data.layout.mixture is not None:
        print(
            f"no mixture.wav in {len(data.without_mixture)} of {len(data)} track(s), such as "
            f"{data.without_mixture[0]!r}: the sum of the stems is separated",
            file=sys.stderr,
        )
    return data


def _decode(options: argparse.Namespace) -> str:
    """Decode the tracks of MUSDB18 that are not decoded yet, and return their folder."""
    from ..data import decode_musdb18
    from ..evaluation.datasets import subsets_of
    from ..progress import progress_bar

    with progress_bar("decoding") as progress:
        decode_musdb18(options.root, options.decoded, progress, subsets_of(options.split))
    return options.decoded


def evaluate_all(
    models: Sequence[Candidate],
    data: EvaluationTracks,
    options: argparse.Namespace,
    reporter: ForPeople | None = None,
    estimates: Sequence[tuple[str | None, Estimates]] = (),
) -> list[Record]:
    """Evaluate models, stems of other tools with their labels, and with --oracles reference points.

    Returns:
        The records; none for a shard.
    """
    from ..evaluation import oracles, running

    reporter = reporter or ForPeople()
    shared = {"museval_processes": options.museval or 0, "shard": getattr(options, "shard", None)}
    wanted = oracles.names() if options.oracles else []
    found: list[Record] = []

    def add(label: str, evaluate: Callable[..., Record | None]) -> None:
        tell = partial(reporter.tracks, label)
        with warnings.catch_warnings(), reporter.bar(label, tell) as progress:
            # Silent stems are in the records.
            warnings.filterwarnings("ignore", "no score for", UserWarning)
            record = evaluate(progress=progress, **shared)
        if record is not None:
            reporter.scored(label, record.path)
            found.append(record)

    for oracle in wanted:
        add(oracle, partial(running.evaluate_oracle, oracle, data, options.output))
    for model in models:
        settings = {"separator": separator_options(options)}
        add(model.label, partial(running.evaluate_model, model, data, options.output, **settings))
    for label, stems in estimates:
        evaluate = partial(running.evaluate_estimates, stems, data, options.output, label=label)
        add(label or stems.label, evaluate)
        if stems.adjusted:
            path, difference = next(iter(stems.adjusted.items()))
            print(
                f"{len(stems.adjusted)} stem(s) cut or padded at the end to the length of the "
                f"track, such as {path} ({difference:+d} samples)",
                file=sys.stderr,
            )
    return found


def _evaluate(options: argparse.Namespace) -> int:
    with reporting(options.progress, "evaluate") as reporter:
        _report(options, reporter)
        reporter.end(0)
    return 0


def _report(options: argparse.Namespace, reporter: ForPeople) -> None:
    """Evaluate, and show the table."""
    from ..costs import paper_table
    from ..evaluation import comparison, comparison_table
    from ..evaluation.datasets import Estimates
    from ..evaluation.records import candidate, split_label

    if not (options.models or options.estimates or options.oracles):
        raise UserError("nothing to evaluate; name a model, or ask for --oracles or --estimates")
    data = open_data(options)
    with_paper = _with_paper(data, options)
    models = [candidate(model) for model in options.models]
    # All folders are checked before anything is computed.
    given = [split_label(folder) for folder in options.estimates]
    names = [track.name for track in data.tracks]
    estimates = [
        (label, Estimates(folder, names, data.sources, data.sums)) for label, folder in given
    ]
    labels = [model.label for model in models]
    labels += [label or read.label for label, read in estimates]
    reporter.start(models=labels, tracks=len(data))
    records = evaluate_all(models, data, options, reporter, estimates)
    if options.shard is not None:
        k, n = options.shard
        own = len(options.shard.of(range(len(data))))
        reporter.note(
            f"shard {k}/{n}: {own} of {len(data)} tracks are scored; when all shards are, the same "
            "command without --shard joins them"
        )
        return
    reporter.note(comparison_table.to_text(comparison.compare(records)).rstrip())
    if with_paper:
        other_data = comparison.paper_obstacle(data) is not None
        table = comparison.compare_with_paper(records, other_data=other_data)
        reporter.note("\nBeside the paper\n\n" + paper_table.to_markdown(table).rstrip())
        if options.paper_table:
            paper_table.write(table, options.paper_table)


def _with_paper(data: EvaluationTracks, options: argparse.Namespace) -> bool:
    """Return whether to show the paper's test rows; checked before any download or computing.

    Raises:
        UserError: if they are asked for and cannot be shown.
    """
    from ..costs import paper_table
    from ..evaluation.comparison import paper_obstacle, paper_rows
    from ..evaluation.records import split_label

    asked = options.paper_table is not None or options.paper_any_data
    if options.paper_table is not None:
        check_format(options.paper_table, paper_table.FORMATS)
    if not options.museval:
        if asked:
            raise UserError("the paper's test rows need museval's cSDR; add --museval N")
        return False
    names = {split_label(model)[1] for model in options.models}
    if not names & set(paper_rows()):
        if asked:
            raise UserError(
                f"none of the models is in the paper's test rows: {', '.join(paper_rows())}"
            )
        return False
    reason = paper_obstacle(data)
    if reason is None or options.paper_any_data:
        return True
    message = f"no comparison with the paper's test rows: {reason}; --paper-any-data shows it"
    if options.paper_table is not None:
        raise UserError(message)
    print(message, file=sys.stderr)
    return False
