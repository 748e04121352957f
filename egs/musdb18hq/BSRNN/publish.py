"""Stage 4: write the best weights and their model card, and upload them on request."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asteroid.models import save_publishable

import model_card
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


@reports_mistakes
def main() -> int:
    """Write `publish_dir/model.pth` and `publish_dir/README.md`, and upload them on request."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument(
        "--licence",
        default=model_card.UNKNOWN_LICENCE,
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
    model_card.licence_fields(options.licence)
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
    card = model_card.build(conf, config, metrics, options.licence)
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
    if options.licence == model_card.UNKNOWN_LICENCE:
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


if __name__ == "__main__":
    sys.exit(main())
