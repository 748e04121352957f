"""`asteroid-bsrnn evaluate`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..costs import paper_table
from ..errors import UserError
from ..evaluation import (
    candidates,
    comparison,
    comparison_table,
    datasets,
    oracles,
    paper,
    running,
)
from ..evaluation.estimates import Estimates
from ..evaluation.records import Record
from ..progress import progress_bar
from ..tables import check_format
from .separate import _add_chunks, _add_computation
from .terminal import count, name, show


def add_evaluate(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "evaluate",
        description="Separate the tracks of a data set and score the stems: uSDR, cSDR, SI-SDR, "
        "and their gain over the mixture. Each track gets a JSON record. An interrupted evaluation "
        "resumes, and results of other settings go to another folder.",
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
        type=name,
        required=True,
        metavar="DATA",
        help="data set with train/ and test/ in the layout of MUSDB18-HQ, or a folder of stems "
        "(vocals.wav, ..., and sums of stems such as bass+other.wav; without a mixture.wav their "
        "sum is separated), or a folder of those",
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
    add_evaluation(parser, "-o")
    _add_paper(parser.add_argument_group("the paper's test rows"))
    parser.set_defaults(run=_evaluate)


def _add_paper(group: argparse._ArgumentGroup) -> None:
    group.description = (
        "With --museval on the test tracks of MUSDB18-HQ, the cSDR of "
        f"{', '.join(paper.rows())} is shown beside the paper's."
    )
    group.add_argument(
        "--paper-table",
        type=name,
        metavar="FILE",
        help="also write this table to FILE.md, .csv or .tex",
    )
    group.add_argument(
        "--paper-any-data",
        action="store_true",
        help="show it on other data too, marked as such",
    )


def add_evaluation(parser: argparse.ArgumentParser, *output_flags: str) -> None:
    """Add the options for data, scores and computation.

    Args:
        parser: of the command.
        output_flags: further names of --output.
    """
    data = parser.add_argument_group("data")
    data.add_argument(
        "--split",
        choices=datasets.SPLITS,
        default="test",
        help="of the data set; train is without the validation tracks, valid has only these; "
        "default: %(default)s",
    )
    data.add_argument(
        "--validation-tracks",
        type=name,
        metavar="FILE",
        help="names of the validation tracks, one per line; default: those of MUSDB18-HQ",
    )
    data.add_argument(
        "--sources",
        metavar="SOURCE,...",
        help="names of the stems; default: vocals,bass,drums,other, or all of the first track",
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
        type=name,
        default="evaluation",
        metavar="DIR",
        help="folder of the results, with one for each model and setting; default: %(default)s",
    )
    _add_chunks(parser.add_argument_group("chunks"))
    # The default precision does not depend on the machine, so that scores are comparable.
    _add_computation(parser.add_argument_group("computation"), precision="32")


def separator_options(options: argparse.Namespace) -> dict:
    """Return the arguments of `Separator` that the command line sets."""
    names = ("segment", "overlap", "hop", "batch_size", "device", "precision", "shifts")
    return {name: getattr(options, name) for name in names}


def open_data(options: argparse.Namespace) -> datasets.EvaluationTracks:
    """Find the tracks, and warn of those without a mixture."""
    data = datasets.EvaluationTracks(
        options.root,
        options.split,
        sources=options.sources.split(",") if options.sources else None,
        validation_tracks=_names(options.validation_tracks),
    )
    if data.without_mixture:
        print(
            f"no mixture.wav in {len(data.without_mixture)} of {len(data)} track(s), such as "
            f"{data.without_mixture[0]!r}: the sum of the stems is separated",
            file=sys.stderr,
        )
    return data


def evaluate_all(
    models: list[candidates.Candidate],
    data: datasets.EvaluationTracks,
    options: argparse.Namespace,
) -> list[Record]:
    """Evaluate all models, and the reference points with --oracles."""
    found = []
    shared = {"museval_processes": options.museval or 0}
    wanted = oracles.names() if options.oracles else []
    for oracle in wanted:
        with _track_bar(oracle) as progress:
            found.append(
                running.evaluate_oracle(oracle, data, options.output, progress=progress, **shared)
            )
    for model in models:
        with _track_bar(model.label) as progress:
            found.append(
                running.evaluate_model(
                    model,
                    data,
                    options.output,
                    separator=separator_options(options),
                    progress=progress,
                    **shared,
                )
            )
    return found


def _evaluate(options: argparse.Namespace) -> int:
    if not (options.models or options.estimates or options.oracles):
        raise UserError("nothing to evaluate; name a model, or ask for --oracles or --estimates")
    data = open_data(options)
    with_paper = _with_paper(data, options)
    models = [candidates.candidate(model) for model in options.models]
    # All folders are checked before anything is computed.
    given = [candidates.split_label(folder) for folder in options.estimates]
    stems = [(label, Estimates(folder, data.tracks, data.sources)) for label, folder in given]
    records = evaluate_all(models, data, options)
    records += [_evaluate_estimates(*pair, data, options) for pair in stems]
    show(comparison_table.to_text(comparison.compare(records)).rstrip())
    if with_paper:
        other_data = paper.obstacle(data) is not None
        table = paper.compare_with_paper(records, other_data=other_data)
        show("\nBeside the paper\n\n" + paper_table.to_markdown(table).rstrip())
        if options.paper_table:
            paper_table.write(table, options.paper_table)
    return 0


def _evaluate_estimates(
    label: str | None,
    estimates: Estimates,
    data: datasets.EvaluationTracks,
    options: argparse.Namespace,
) -> Record:
    """Score stems in files, and say which ones did not have the length of their tracks."""
    with _track_bar(label or estimates.label) as progress:
        record = running.evaluate_estimates(
            estimates,
            data,
            options.output,
            label=label,
            museval_processes=options.museval or 0,
            progress=progress,
        )
    if estimates.adjusted:
        path, difference = next(iter(estimates.adjusted.items()))
        print(
            f"{len(estimates.adjusted)} stem(s) cut or padded at the end to the length of the "
            f"track, such as {path} ({difference:+d} samples)",
            file=sys.stderr,
        )
    return record


def _with_paper(data: datasets.EvaluationTracks, options: argparse.Namespace) -> bool:
    """Return whether to show the paper's test rows; checked before any download or computing.

    Raises:
        UserError: if they are asked for and cannot be shown.
    """
    asked = options.paper_table is not None or options.paper_any_data
    if options.paper_table is not None:
        check_format(options.paper_table, paper_table.FORMATS)
    if not options.museval:
        if asked:
            raise UserError("the paper's test rows need museval's cSDR; add --museval N")
        return False
    names = {candidates.split_label(model)[1] for model in options.models}
    if not names & set(paper.rows()):
        if asked:
            raise UserError(
                f"none of the models is in the paper's test rows: {', '.join(paper.rows())}"
            )
        return False
    reason = paper.obstacle(data)
    if reason is None or options.paper_any_data:
        return True
    message = f"no comparison with the paper's test rows: {reason}; --paper-any-data shows it"
    if options.paper_table is not None:
        raise UserError(message)
    print(message, file=sys.stderr)
    return False


@contextmanager
def _track_bar(label: str) -> Iterator:
    """Show a bar over tracks. Warnings of silent stems are in the records."""
    with warnings.catch_warnings(), progress_bar(label) as progress:
        warnings.filterwarnings("ignore", "no score for", UserWarning)
        yield progress


def _names(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip()]
