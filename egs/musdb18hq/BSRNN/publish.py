"""Stage 4: the best weights with their figures, as Asteroid publishes models, and a model card."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asteroid.models import save_publishable

import model_card
import recipe
from asteroid_bsrnn import UserError
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.weights import checkpoint, hub

# Of the configuration, by group.
FILES = {
    "data": ("validation_tracks", "infos", "activity_folder"),
    "training": ("start_from",),
    "unlabelled": ("selection",),
}


def main() -> int:
    """Write `publish_dir/model.pth` and `publish_dir/README.md`, and upload them if asked to."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument(
        "--licence",
        default=model_card.UNKNOWN_LICENCE,
        help="of the weights, for the card: an identifier of the Hugging Face Hub such as "
        "cc-by-nc-4.0, or NAME=URL; default: %(default)s",
    )
    parser.add_argument(
        "--hub", metavar="USER/NAME", help="repository of the Hugging Face Hub to upload to"
    )
    parser.add_argument(
        "--hub_private",
        choices=("true", "false"),
        help="whether only its owner may see the repository; default: as it is, or as new ones are",
    )
    options = parser.parse_args()
    try:
        folder = publish(options)
        print(f"ready to be published: {folder}")
        if options.hub is not None:
            upload(folder, options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def publish(options) -> Path:
    """Put together what is published.

    Raises:
        UserError: if the run was not trained or not evaluated, or the licence has another form.
    """
    run = Path(options.exp_dir)
    figures = run / "evaluation_test" / "final_metrics.json"
    if not figures.is_file():
        raise UserError(f"{figures}: missing; run stage 3 first")
    model_card.licence_fields(options.licence)
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
    card = model_card.build(conf, config, metrics, options.licence)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def upload(folder: Path, options) -> None:
    """Upload what was put together to the Hub, and tell how it is loaded from there."""
    private = {None: None, "true": True, "false": False}[options.hub_private]
    card = (folder / "README.md").read_text(encoding="utf-8")
    version = hub.publish(folder / hub.FILE, options.hub, card, private=private)
    print(f"on the Hugging Face Hub: {version}")
    name = version.partition("@")[0]
    print(f"asteroid-bsrnn separate song.mp3 --model {name}    # without @...: the latest version")
    if options.licence == model_card.UNKNOWN_LICENCE:
        print("its card states no licence of the weights; --licence does")


def without_folders(config: dict) -> dict:
    """The configuration with names of files alone: where they were is nobody else's concern."""
    return {
        group: {
            key: Path(value).name if key in FILES.get(group, ()) and value else value
            for key, value in values.items()
        }
        for group, values in config.items()
    }


if __name__ == "__main__":
    sys.exit(main())
