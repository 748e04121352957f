"""Stage 4: write the best weights and their model card, and upload them on request.

The card has the metadata block that the Hugging Face Hub reads.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from asteroid.models import save_publishable
from huggingface_hub import EvalResult, ModelCard, ModelCardData

import recipe
from asteroid_bsrnn import UserError
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.files import write_text
from asteroid_bsrnn.weights import checkpoint, hub
from asteroid_bsrnn.weights.find import file_of_run

# Keys of the configuration that name files, by group.
FILES = {
    "data": ("validation_tracks", "infos", "activity_folder"),
    "training": ("start_from",),
    "unlabelled": ("selection",),
}
# The Hub's identifier of an unstated licence.
UNKNOWN_LICENCE = "unknown"
_MEASURES = {"usdr": "uSDR", "csdr": "cSDR"}
_TEXT = """# {title}

{model_name} for {sources}, {row}, trained with the recipe
`egs/musdb18hq/BSRNN` of asteroid-bsrnn.

```sh
asteroid-bsrnn separate song.mp3 --model model.pth    # or, from the Hub: --model hf:user/name
```

## Training config

```yaml
{config}```

## Results

On the test tracks, in dB: uSDR as the mean over tracks, cSDR and museval's measures as the median.

| | {columns} |
|---|{rule}|
{rows}

## Licence

{notice}
"""


@reports_mistakes
def main() -> int:
    """Write `publish_dir/model.pth` and `publish_dir/README.md`, and upload them on request."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument(
        "--licence",
        default=UNKNOWN_LICENCE,
        help="licence of the weights, for the card: an identifier of the Hugging Face Hub such as "
        "cc-by-nc-4.0, or NAME=URL; default: %(default)s",
    )
    parser.add_argument(
        "--hub", metavar="USER/NAME", help="repository of the Hugging Face Hub to upload to"
    )
    parser.add_argument(
        "--hub_private",
        choices=("true", "false"),
        help="whether only its owner may see the repository; default: unchanged, or the owner's "
        "setting for new ones",
    )
    options = parser.parse_args()
    folder = publish(options)
    print(f"ready to be published: {folder}")
    if options.hub is not None:
        upload(folder, options)
    return 0


def publish(options) -> Path:
    """Write the published file and its card, and return their folder.

    An interrupted run publishes its best weights so far.

    Raises:
        UserError: the run has no weights or was not evaluated, or the licence is malformed.
    """
    run = Path(options.exp_dir)
    weights = file_of_run(run) if run.is_dir() else None
    if weights is None:
        raise UserError(f"{run}: holds no weights; train first, with stage 2")
    figures = run / "evaluation_test" / "final_metrics.json"
    if not figures.is_file():
        raise UserError(f"{figures}: missing; evaluate {weights} first, with stage 3")
    licence_fields(options.licence)
    metrics = json.loads(figures.read_text(encoding="utf-8"))
    whole = configuration.load(run / "conf.yml")
    config = without_folders(whole)
    conf = checkpoint.load_conf(weights)
    conf["infos"] = {**data_infos(whole, options.root), **conf["infos"], "training_config": config}
    # Asteroid's publisher reads these beside the weights.
    conf.update({key: conf["infos"][key] for key in ("dataset", "licenses", "task")})
    if options.half:
        conf["state_dict"] = {name: value.half() for name, value in conf["state_dict"].items()}
    folder = run / "publish_dir"
    # This writes model.pth, and prints an invitation to upload it.
    save_publishable(str(folder), conf, metrics, config, recipe="egs/musdb18hq/BSRNN")
    card = _card(conf, config, metrics, options.licence)
    write_text(folder / "README.md", card)
    return folder


def upload(folder: Path, options) -> None:
    """Upload the published file to the Hub, and print how to load it from there."""
    private = {None: None, "true": True, "false": False}[options.hub_private]
    card = (folder / "README.md").read_text(encoding="utf-8")
    version = hub.publish(folder / hub.FILE, options.hub, card, private=private)
    print(f"on the Hugging Face Hub: {version}")
    name = version.partition("@")[0]
    print(f"asteroid-bsrnn separate song.mp3 --model {name}    # without @...: the latest version")
    if options.licence == UNKNOWN_LICENCE:
        print("its card states no licence of the weights; --licence does")


def data_infos(config: dict, root: str) -> dict:
    """Return name, task and licences of the data, which a training's checkpoints may lack."""
    unnamed = {"dataset": Path(root).resolve().name, "licenses": []}
    return {"task": "separation", **(recipe.data_infos(config) or unnamed)}


def without_folders(config: dict) -> dict:
    """Return the configuration with files named without their folders, which are private."""
    return {
        group: {
            key: Path(value).name if key in FILES.get(group, ()) and value else value
            for key, value in values.items()
        }
        for group, values in config.items()
    }


def _card(conf: Mapping, config: Mapping, metrics: Mapping, licence: str = UNKNOWN_LICENCE) -> str:
    """Return the card as Markdown.

    Args:
        conf: contents of the published file.
        config: the run's configuration.
        metrics: results of stage 3.
        licence: licence of the weights, as for `licence_fields`.

    Raises:
        UserError: if the licence has another form.
    """
    scores = {name: value for name, value in metrics.items() if _is_measure(value)}
    row, source = config["run"]["row"], config["run"]["source"]
    title = f"{row}, {source}" if source else row
    data = ModelCardData(
        **licence_fields(licence),
        library_name="asteroid-bsrnn",
        pipeline_tag="audio-to-audio",
        tags=["asteroid", "audio", conf["model_name"], "music-source-separation"],
        datasets=[_identifier(conf["dataset"])],
        metrics=list(scores),
        model_name=title,
        eval_results=_results(conf["dataset"], scores),
    )
    columns = list(next(iter(scores.values())))
    text = _TEXT.format(
        title=title,
        model_name=conf["model_name"],
        sources=", ".join(conf["model_args"]["sources"]),
        row=_described(row),
        config=configuration.dump(config),
        columns=" | ".join(columns),
        rule="---|" * (len(columns) - 1) + "---",
        rows="\n".join(
            f"| {_title(name)} | "
            + " | ".join(f"{values[column]:.2f}" for column in columns)
            + " |"
            for name, values in scores.items()
        ),
        notice=_notice(conf, licence),
    )
    # The library parses the text, and refuses a block that the Hub could not read.
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


def licence_fields(licence: str) -> dict[str, str]:
    """Return the metadata that state the licence of the weights.

    Args:
        licence: an identifier of the Hub such as `cc-by-nc-4.0`, or `NAME=URL` of another licence.

    Raises:
        UserError: if it is neither.
    """
    name, separator, url = licence.partition("=")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or (separator and "://" not in url):
        raise UserError(
            f"licence {licence!r}: write an identifier of the Hub, such as cc-by-nc-4.0, or "
            "NAME=URL of another licence, its name in lower case"
        )
    if not separator:
        return {"license": name}
    return {"license": "other", "license_name": name, "license_link": url}


def _results(dataset: str, scores: Mapping[str, Mapping[str, float]]) -> list[EvalResult]:
    """Return every figure in the form of the model-index, which cannot hold NaN."""
    return [
        EvalResult(
            task_type="audio-to-audio",
            task_name="Music source separation",
            dataset_type=_identifier(dataset),
            dataset_name=dataset,
            dataset_split="test",
            metric_type=measure,
            metric_name=f"{_title(measure)} {source} (dB)",
            metric_value=round(value, 2),
        )
        for measure, values in scores.items()
        for source, value in values.items()
        if math.isfinite(value)
    ]


def _is_measure(value) -> bool:
    return isinstance(value, Mapping) and "mean" in value


def _title(measure: str) -> str:
    """Return the name of a measure for readers."""
    if measure.startswith("museval_"):
        return f"museval {measure.removeprefix('museval_').upper()}"
    return _MEASURES.get(measure, measure)


def _identifier(dataset: str) -> str:
    """Return the name of a data set in the form of the Hub's identifiers."""
    return re.sub(r"[^a-z0-9.]+", "-", dataset.lower()).strip("-.") or "unnamed"


def _described(row: str) -> str:
    """Return a description of a row: the paper's, or one of the user's."""
    if row in recipe.rows():
        return f"row `{row}` of the table of arXiv 2603.09187"
    return f"configuration `{row}`"


def _notice(conf: Mapping, licence: str) -> str:
    """Return the licence of the weights, and the notices that the data require."""
    if licence == UNKNOWN_LICENCE:
        lines = ["The licence of these weights is not stated."]
    else:
        lines = [f"These weights: {licence.replace('=', ', ')}."]
    if not conf["licenses"]:
        lines.append(f"Trained on {conf['dataset']}, whose licence is not known to this recipe.")
    lines += [
        f"Trained on {given['title']} ({given['title_link']}) by {given['author']}: "
        f"{given['license']}."
        + (" These data are for non-commercial use only." if given.get("non_commercial") else "")
        for given in conf["licenses"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
