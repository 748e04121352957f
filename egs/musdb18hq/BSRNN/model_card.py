"""The model card of a run, with the metadata block that the Hugging Face Hub reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from huggingface_hub import EvalResult, ModelCard, ModelCardData

import recipe
from asteroid_bsrnn import UserError
from asteroid_bsrnn.engine import config as configuration

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


def build(conf: Mapping, config: Mapping, metrics: Mapping, licence: str = UNKNOWN_LICENCE) -> str:
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
