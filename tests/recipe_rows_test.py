"""Every row of the paper's table is one flag, and says what the table says."""

import json
import sys
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import BSCNN, BSRNN, UserError, presets
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.engine.trainer import (
    batches_per_step,
    make_optimization,
    monitored,
    scaled_learning_rate,
)
from asteroid_bsrnn.weights import checkpoint

FOLDER = Path(__file__).parent.parent / "egs" / "musdb18hq" / "BSRNN"
sys.path.insert(0, str(FOLDER))
import recipe  # noqa: E402

TRAINING_ROWS = (
    "bsrnn_accumulate",
    "bsrnn_monitor_loss",
    "bsrnn_loss_time",
    "bsrnn_loss_stft",
    "bsrnn_large_patience30",
    "bsrnn_silent_target",
    "bsrnn_umx_data",
)


def resolve(row, changes=None):
    differs = configuration.load(FOLDER / "conf" / "rows" / f"{row}.yml")
    preset = differs.get("model", {"preset": "bsrnn"})["preset"]
    return recipe.resolve(row, None if presets.is_simo(preset) else "bass", changes)


def test_there_is_a_row_for_every_line_of_the_table():
    assert recipe.rows() == sorted([*presets.names(), *TRAINING_ROWS])


# What the table's words say, as far as it differs from the base model. Groups left out are as in
# the base model.
WORDS = {
    "bsrnn": {},
    "bsrnn_accumulate": {"training": {"examples_per_step": 16}},
    "bsrnn_monitor_loss": {"training": {"monitor": "loss"}},
    "bsrnn_loss_time": {"loss": {"domain": "time"}},
    "bsrnn_loss_stft": {"loss": {"domain": "stft"}},
    "bsrnn_large_patience30": {"training": {"patience": 30}, "model": {"preset": "bsrnn_large"}},
    "bsrnn_silent_target": {"augmentation": {"silent_source": 0.0, "silent_target": 0.1}},
    "bsrnn_umx_data": {
        "data": {"activity_detection": False},
        "augmentation": {
            "gain_db": None,
            "gain_linear": [0.25, 1.25],
            "channel_swap": 0.5,
            "silent_source": 0.0,
            "peak_normalisation": False,
        },
    },
}
for name in presets.names():
    WORDS.setdefault(name, {"model": {"preset": name}})
for name in ("obsrnn_notac", "obsrnn", "obsrnn_simo"):
    WORDS[name]["training"] = {"patience": 30}


def test_a_row_differs_from_the_base_in_what_the_table_says():
    base = configuration.load(FOLDER / "local" / "conf.yml")
    for row in recipe.rows():
        resolved = resolve(row)
        resolved.pop("run")
        differences = {
            group: {key: value for key, value in keys.items() if base[group].get(key, ...) != value}
            for group, keys in resolved.items()
        }
        assert {group: keys for group, keys in differences.items() if keys} == WORDS[row], row


def test_the_base_is_the_papers():
    config = resolve("bsrnn")
    assert config["data"]["segment"] == 3.0
    assert config["data"]["samples_per_epoch"] == 20000
    assert config["data"]["activity_detection"] and config["data"]["mix_tracks"]
    assert config["augmentation"]["gain_db"] == [-10.0, 10.0]
    assert config["augmentation"]["silent_source"] == 0.1
    assert config["augmentation"]["peak_normalisation"]
    assert config["optim"] == {"optimizer": "adam", "lr": 0.001, "weight_decay": 0.0}
    assert config["scheduler"]["name"] == "step"
    assert (config["scheduler"]["step_size"], config["scheduler"]["gamma"]) == (2, 0.98)
    assert config["training"]["batch_size"] == 2
    assert config["training"]["max_epochs"] == 200
    assert config["training"]["patience"] == 10
    assert config["training"]["gradient_clip"] == 5.0
    assert config["validation"] == {"segment": 10.0, "overlap": 0.1, "hop": None}
    assert (config["energy"]["country"], config["energy"]["pue"]) == ("FRA", 1.5)


MODELS = {
    "bsrnn_stft4096": {"n_filters": 4096, "stride": 1024},
    "bsrnn_mask2": {"mask_expansion": 2},
    "bsrnn_large": {"feature_dim": 128, "n_repeats": 12},
    "bsrnn_naive": {"stereo": "naive"},
    "bsrnn_naive_mask8": {"stereo": "naive", "mask_expansion": 8},
    "bsrnn_tac_tanh": {"stereo": "tac", "tac_activation": "tanh"},
    "bsrnn_tac_prelu": {"stereo": "tac", "tac_activation": "prelu"},
    "bsrnn_attention1": {"attention_heads": 1, "attention_dim": 8},
    "bsrnn_attention2": {"attention_heads": 2, "attention_dim": 16},
    "bsrnn_multihead2": {"feature_groups": 2},
    "bsrnn_joint": {"bands": "joint"},
    "bsrnn_gru": {"time_layer": "gru", "band_layer": "gru"},
    "simo_bsrnn_subtract": {"last_source_as_residual": True},
    "obsrnn": {"feature_dim": 128, "n_repeats": 12, "attention_heads": 2, "stereo": "tac"},
}


def test_a_training_starts_from_published_weights_of_such_a_network_alone(tmp_path):
    small = {"feature_dim": 8, "n_repeats": 1}
    trained = recipe.build_model(resolve("bsrnn", changes={"model": small}))
    path = checkpoint.save_model(trained, tmp_path / "start.pth")
    start = {"start_from": str(path)}
    network = recipe.build_model(resolve("bsrnn", changes={"model": small, "training": start}))
    for key, value in network.state_dict().items():
        assert torch.equal(value, trained.state_dict()[key])
    with pytest.raises(UserError, match="start.pth: weights of another network"):
        recipe.build_model(resolve("bsrnn", changes={"training": start}))
    start = {"start_from": str(tmp_path / "nowhere.pth")}
    with pytest.raises(UserError, match="nowhere.pth: cannot be read"):
        recipe.build_model(resolve("bsrnn", changes={"model": small, "training": start}))


def test_a_mask_that_the_residual_replaces_is_left_out(tmp_path):
    small = {"feature_dim": 8, "n_repeats": 1}
    trained = recipe.build_model(resolve("simo_bsrnn", {"model": small})).eval()
    start = {"start_from": str(checkpoint.save_model(trained, tmp_path / "start.pth"))}
    residual = small | {"last_source_as_residual": True}
    changes = {"model": residual, "training": start}
    network = recipe.build_model(resolve("simo_bsrnn", changes)).eval()
    mixture = torch.randn(1, 2, 20000)
    with torch.no_grad():
        before, estimates = trained(mixture), network(mixture)
    torch.testing.assert_close(estimates[:, :-1], before[:, :-1])
    torch.testing.assert_close(estimates.sum(dim=1), mixture)
    # And from a network that has none.
    checkpoint.save_model(network, tmp_path / "start.pth")
    again = recipe.build_model(resolve("simo_bsrnn", changes)).eval()
    with torch.no_grad():
        assert torch.equal(again(mixture), estimates)


def test_weights_of_sources_in_another_order_are_refused(tmp_path):
    small = {"feature_dim": 8, "n_repeats": 1}
    other_order = small | {"sources": ["vocals", "drums", "bass", "other"]}
    trained = recipe.build_model(resolve("simo_bsrnn", {"model": other_order}))
    start = {"start_from": str(checkpoint.save_model(trained, tmp_path / "start.pth"))}
    with pytest.raises(UserError, match="vocals, drums, bass, other, the .* vocals, bass, drums"):
        recipe.build_model(resolve("simo_bsrnn", {"model": small, "training": start}))


def test_the_cosine_schedule_ends_at_zero_with_the_training():
    config = resolve("bsrnn", changes={"scheduler": {"name": "cosine"}})
    optimizer, scheduler = make_optimization(torch.nn.Linear(2, 2), config, n_devices=8)
    rates = []
    for _ in range(config["training"]["max_epochs"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == 0.001 and rates[100] == pytest.approx(0.0005)
    assert rates == sorted(rates, reverse=True)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("row", recipe.rows())
def test_a_row_builds_its_model_loss_optimiser_and_augmentations(row):
    config = resolve(row)
    with torch.device("meta"):
        model = recipe.build_model(config)
    assert isinstance(model, BSCNN if row == "bscnn" else BSRNN)
    assert len(model.sources) == (4 if config["run"]["source"] is None else 1)
    for name, value in MODELS.get(row, {}).items():
        assert model.get_model_args()[name] == value
    assert recipe.build_loss(config).domain == config["loss"]["domain"]
    optimizer, scheduler = make_optimization(model, config, n_devices=1)
    assert isinstance(optimizer, torch.optim.Adam)
    per_step = 16 if row == "bsrnn_accumulate" else 2
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * per_step / 16)
    assert isinstance(scheduler, torch.optim.lr_scheduler.StepLR)
    rates = []
    for _ in range(5):  # epochs
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([rates[0] * factor for factor in (1, 1, 0.98, 0.98, 0.98**2)])
    expected = ("val_loss", "min") if row == "bsrnn_monitor_loss" else ("val_usdr", "max")
    assert monitored(config) == expected
    assert len(recipe.build_augmentations(config)) == 2
    assert (recipe.build_normalisation(config) is None) == (row == "bsrnn_umx_data")


def test_the_learning_rate_is_for_16_examples_a_step():
    assert scaled_learning_rate(0.001, 2, 8, 1) == pytest.approx(0.001)
    assert scaled_learning_rate(0.001, 2, 4, 4) == pytest.approx(0.002)
    training = {"examples_per_step": 16, "batch_size": 2, "accumulate": 1}
    assert batches_per_step(training, 4) == 2
    with pytest.raises(UserError, match=r"16.*multiple.*2 x 3"):
        batches_per_step(training, 3)


def test_what_is_wrong_is_named():
    for row, source, changes, words in [
        ("obsrn", "vocals", [], "unknown row 'obsrn'.*obsrnn"),
        ("bsrnn", None, [], "give source"),
        ("obsrnn_simo", "vocals", [], "leave source out"),
        ("bsrnn", "vocals", ["optim.learning_rate=0.1"], "'optim.learning_rate'.*lr"),
        ("bsrnn", "vocals", ["optimizer.lr=0.1"], "unknown group 'optimizer'"),
        ("bsrnn", "vocals", ["training.batch_size=two"], "batch_size must be of type int"),
        ("bsrnn", "vocals", ["training.batch_size=2.5"], "batch_size must be of type int"),
        ("bsrnn", "vocals", ["data.mix_tracks=1"], "mix_tracks must be of type bool"),
        ("bsrnn", "vocals", ["lr=0.1"], "group.key=value"),
        ("bsrnn", "vocals", ["augmentation.gain_linear=[0.5, 1.0]"], "exclude each other"),
        ("obsrnn_simo", None, ["augmentation.silent_target=0.1"], "single target"),
    ]:
        with pytest.raises(UserError, match=words):
            recipe.resolve(row, source, configuration.parse_changes(changes))


def test_wrong_model_arguments_are_named():
    config = recipe.resolve("bsrnn", "vocals", {"model": {"feature_dims": 8}})
    with pytest.raises(UserError, match="'feature_dims'.*feature_dim"):
        recipe.build_model(config)


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    base = configuration.load(FOLDER / "local" / "conf.yml")
    for text in ("1e-3", "5E4", "-1e+2", "2.5e1"):
        path = tmp_path / "row.yml"
        path.write_text(f"optim:\n  lr: {text}\n")
        assert configuration.load(path)["optim"]["lr"] == float(text)
        assert configuration.parse_changes([f"optim.lr={text}"])["optim"]["lr"] == float(text)
    # What YAML reads as text is refused by its type, not hours later by the optimiser.
    for text in ("'1e-3'", ".5e1", "1e-3.0"):
        with pytest.raises(UserError, match=r"--set: optim\.lr must be of type float, got '"):
            configuration.merge(base, ("--set", configuration.parse_changes([f"optim.lr={text}"])))


def test_files_that_are_no_configurations_are_refused(tmp_path):
    path = tmp_path / "row.yml"
    for text, words in {
        "optim:\n  lr: 0.1\n  lr: 0.2\n": "found duplicate key lr on line 3",
        "optim: {lr: 0.1\n": "not valid YAML: .* on line 2",
        "optim: 0.1\n": "must hold groups of keys",
        "- optim\n": "must hold groups of keys",
        "0.1\n": "row.yml: ",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=words) as caught:
            configuration.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_text("")
    assert configuration.load(path) == {}


def test_a_value_may_refer_to_another(tmp_path):
    path = tmp_path / "row.yml"
    path.write_text("validation: {segment: '${data.segment}'}\ndata: {segment: 4.0}\n")
    changes = {"data": {"segment": 5.0}}
    config = recipe.resolve(str(path), "vocals", changes)
    assert config["validation"]["segment"] == config["data"]["segment"] == 5.0
    for reference, words in {
        "${data.segments}": "row.yml.*data.segments",
        "${data.musdb18hq}": r"row\.yml: validation\.segment must be of type float, got True",
    }.items():
        path.write_text(f"validation: {{segment: '{reference}'}}\n")
        with pytest.raises(UserError, match=words) as caught:
            recipe.resolve(str(path), "vocals")
        assert "\n" not in str(caught.value)


def test_configurations_survive_the_file(tmp_path):
    config = resolve("bsrnn_umx_data", {"optim": {"lr": 1e-5}})
    configuration.save(config, tmp_path / "conf.yml")
    assert configuration.load(tmp_path / "conf.yml") == config
    assert [file.name for file in tmp_path.iterdir()] == ["conf.yml"]


def test_a_row_may_lie_elsewhere(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text("model: {preset: simo_bsrnn, feature_dim: 8}\ndata: {musdb18hq: false}\n")
    config = recipe.resolve(str(path), None)
    assert config["run"] == {"row": "mine", "source": None}
    assert config["model"] == {"preset": "simo_bsrnn", "feature_dim": 8}
    with pytest.raises(UserError, match=r"other\.yml: cannot be read"):
        recipe.resolve(str(tmp_path / "other.yml"), None)


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"dataset": "mine"}'])
def test_a_data_sets_name_and_licences_come_from_a_file(tmp_path, text):
    licence = {"title": "mine", "license": "CC0"}
    path = tmp_path / "infos.json"
    path.write_text(json.dumps({"dataset": "mine", "licenses": [licence]}))
    config = recipe.resolve("bsrnn", "vocals", {"data": {"infos": str(path)}})
    assert recipe.data_infos(config) == {"dataset": "mine", "licenses": [licence]}
    path.write_text(text)
    with pytest.raises(UserError, match=r"data\.infos: .*infos\.json: must be JSON"):
        recipe.data_infos(config)
    path.unlink()
    with pytest.raises(UserError, match=r"data\.infos: .*No such file"):
        recipe.data_infos(config)
