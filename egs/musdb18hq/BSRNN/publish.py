"""Stage 4: the best weights with their figures, as Asteroid publishes models, and a model card."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asteroid.models import save_publishable

import recipe
from asteroid_bsrnn import UserError, checkpoint
from asteroid_bsrnn.engine import config as configuration

# Of the configuration, by group.
FILES = {
    "data": ("validation_tracks", "infos", "activity_folder"),
    "training": ("start_from",),
}
CARD = """---
tags:
- asteroid
- audio
- {model_name}
- music-source-separation
datasets:
- {dataset}
---

# {title}

{model_name} for {sources}, {row}, trained with the recipe
`egs/musdb18hq/BSRNN` of asteroid-bsrnn.

## Training config

```yaml
{config}```

## Results

On the test tracks, in dB: uSDR as the mean over tracks, cSDR as the median.

| | {columns} |
|---|{rule}|
{rows}

## License notice

{notice}
"""


def main() -> int:
    """Write `publish_dir/model.pth` and `publish_dir/README.md`."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    options = parser.parse_args()
    try:
        folder = publish(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"ready to be published: {folder}")
    return 0


def publish(options) -> Path:
    """Put together what is published.

    Raises:
        UserError: if the run was not trained or not evaluated.
    """
    run = Path(options.exp_dir)
    figures = run / "evaluation_test" / "final_metrics.json"
    if not figures.is_file():
        raise UserError(f"{figures}: missing; run stage 3 first")
    metrics = json.loads(figures.read_text(encoding="utf-8"))
    config = without_folders(configuration.load(run / "conf.yml"))
    conf = checkpoint.load_dict(run / "best_model.pth")
    conf["infos"]["training_config"] = config
    # Asteroid's publisher looks for these beside the weights.
    conf.update({key: conf["infos"][key] for key in ("dataset", "licenses", "task")})
    if options.half:
        conf["state_dict"] = {name: value.half() for name, value in conf["state_dict"].items()}
    folder = run / "publish_dir"
    # It prints an invitation to upload, and writes model.pth.
    save_publishable(str(folder), conf, metrics, config, recipe="egs/musdb18hq/BSRNN")
    (folder / "README.md").write_text(card(conf, config, metrics), encoding="utf-8")
    return folder


def without_folders(config: dict) -> dict:
    """The configuration with names of files alone: where they were is nobody else's concern."""
    return {
        group: {
            key: Path(value).name if key in FILES.get(group, ()) and value else value
            for key, value in values.items()
        }
        for group, values in config.items()
    }


def card(conf: dict, config: dict, metrics: dict) -> str:
    """The model card."""
    measures = [
        name for name, value in metrics.items() if isinstance(value, dict) and "mean" in value
    ]
    columns = list(metrics[measures[0]])
    row, source = config["run"]["row"], config["run"]["source"]
    return CARD.format(
        model_name=conf["model_name"],
        dataset=conf["dataset"],
        title=f"{row}, {source}" if source else row,
        sources=", ".join(conf["model_args"]["sources"]),
        row=described(row),
        config=configuration.dump(config),
        columns=" | ".join(columns),
        rule="---|" * (len(columns) - 1) + "---",
        rows="\n".join(
            f"| {name} | " + " | ".join(f"{metrics[name][column]:.2f}" for column in columns) + " |"
            for name in measures
        ),
        notice=notice(conf),
    )


def described(row: str) -> str:
    """What kind of row it is: the paper's, or one of a file elsewhere."""
    if row in recipe.rows():
        return f"row `{row}` of the table of arXiv 2603.09187"
    return f"configuration `{row}`"


def notice(conf: dict) -> str:
    """What the licences of the data ask to be said."""
    if not conf["licenses"]:
        return f"Trained on {conf['dataset']}, whose licence is not known to this recipe."
    return "\n".join(
        f"Trained on {licence['title']} ({licence['title_link']}) by {licence['author']}: "
        f"{licence['license']}."
        for licence in conf["licenses"]
    )


if __name__ == "__main__":
    sys.exit(main())
