"""The training system: losses, what stops it, what validation measures."""

import json

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from asteroid_bsrnn import BSRNN, metrics
from asteroid_bsrnn.data import Augmentations, peak_normalise
from asteroid_bsrnn.engine.system import NotFiniteLossError, SeparationSystem
from asteroid_bsrnn.losses import L1Loss
from asteroid_bsrnn.separation.chunks import CrossFade

STEMS = ("vocals", "bass", "drums", "other")
RATE = 44100


class Examples:
    """Noise, of which one example may be broken."""

    def __init__(self, n=6, broken=None, length=8000):
        self.n, self.broken, self.length = n, broken, length

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        sources = 0.1 * torch.randn(4, 2, self.length, generator=generator)
        if index == self.broken:
            sources[0, 0, 0] = torch.nan
        return {"index": index, "sources": sources, "mixture": sources.sum(dim=0)}


def network(*sources):
    torch.manual_seed(0)
    return BSRNN(sources=sources, feature_dim=4, n_repeats=1, mask_expansion=1)


def system(model, examples, tmp_path, *, domain="time+stft", **options):
    loaders = (DataLoader(examples, batch_size=2), DataLoader(Examples(3), batch_size=None))
    return SeparationSystem(
        model,
        torch.optim.Adam(model.parameters(), lr=1e-3),
        L1Loss(domain),
        *loaders,
        stems=STEMS,
        schedule=CrossFade(0.1, 0.1, RATE),
        report_directory=tmp_path,
        **options,
    )


def fit(trained, tmp_path, **options):
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(trained)
    return trainer


@pytest.mark.parametrize("broken", [2, 5])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_batch(tmp_path, broken):
    described = {index: {"track": f"Track {index}"} for index in range(6)}
    trained = system(network("vocals"), Examples(broken=broken), tmp_path, describe=described.get)
    with pytest.raises(NotFiniteLossError, match="not_finite_loss_rank0.json"):
        fit(trained, tmp_path)
    report = json.loads((tmp_path / "not_finite_loss_rank0.json").read_text())
    first = broken - broken % 2
    assert [example["index"] for example in report["examples"]] == [first, first + 1]
    assert report["examples"][broken - first]["made_of"] == {"track": f"Track {broken}"}
    assert report["batch"] == broken // 2


def test_validation_is_usdr_of_whole_tracks(tmp_path):
    trained = system(network("drums", "vocals"), Examples(2), tmp_path, validate_loss=True)
    logged = fit(trained, tmp_path).callback_metrics
    model, scores = trained.model.eval(), []
    for number in range(3):
        track = Examples(3)[number]
        from asteroid_bsrnn import Separator

        separator = Separator(model, segment=0.1, device="cpu")
        estimates = torch.stack(list(separator.separate(track["mixture"]).values()))
        scores.append(metrics.usdr(track["sources"][[2, 0]], estimates))
    expected = torch.stack(scores).mean(dim=0)
    assert logged["val_usdr/drums"].item() == pytest.approx(expected[0].item(), abs=1e-4)
    assert logged["val_usdr/vocals"].item() == pytest.approx(expected[1].item(), abs=1e-4)
    assert logged["val_usdr"].item() == pytest.approx(expected.mean().item(), abs=1e-4)
    assert torch.isfinite(logged["val_loss"]) and logged["val_loss"] > 0


def test_silent_validation_stems_do_not_spoil_the_mean(tmp_path):
    class SilentOnce(Examples):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            if index == 0:
                item["sources"][0] = 0
            return item

    trained = system(network("vocals"), Examples(2), tmp_path)
    trained.val_loader = DataLoader(SilentOnce(3), batch_size=None)
    with pytest.warns(UserWarning, match="silent"):
        logged = fit(trained, tmp_path).callback_metrics
    assert torch.isfinite(logged["val_usdr/vocals"])


def test_a_source_without_scores_does_not_spoil_the_mean(tmp_path):
    class Silent(Examples):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            item["sources"][0] = 0
            return item

    trained = system(network("vocals", "drums"), Examples(2), tmp_path)
    trained.val_loader = DataLoader(Silent(2), batch_size=None)
    with pytest.warns(UserWarning, match="the mean leaves it out"):
        logged = fit(trained, tmp_path).callback_metrics
    assert logged["val_usdr/vocals"].isnan()
    assert logged["val_usdr"] == logged["val_usdr/drums"]


def test_sums_of_stems_are_targets(tmp_path):
    made = network("accompaniment", "vocals")
    trained = system(made, Examples(), tmp_path, sums={"accompaniment": ["drums", "bass"]})
    sources = torch.stack([Examples()[index]["sources"] for index in range(2)])
    _, targets = trained.prepare(sources)
    stems = list(STEMS)
    expected = sources[:, stems.index("drums")] + sources[:, stems.index("bass")]
    torch.testing.assert_close(targets[:, 0], expected)
    assert torch.equal(targets[:, 1], sources[:, stems.index("vocals")])
    # A sum is known where all of its stems are in a signal, and nothing else.
    known = torch.zeros(1, 3, len(stems))
    for signal, parts in enumerate([("drums", "bass"), ("drums",), ("vocals",)]):
        known[0, signal, [stems.index(part) for part in parts]] = 1
    assert trained.comparable(known)[0].tolist() == [[1, 0], [0, 0], [0, 1]]


def test_mixtures_are_made_after_the_augmentations(tmp_path):
    trained = system(network("bass"), Examples(), tmp_path, normalise=peak_normalise)
    trained.augment = lambda sources: 2 * sources
    sources = torch.stack([Examples()[index]["sources"] for index in range(2)])
    trained._batch_seed = lambda: 0
    mixture, targets = trained.prepare(sources)
    peak = torch.stack([sources.sum(1), sources[:, 1]]).abs().amax(dim=(0, 2, 3))
    torch.testing.assert_close(mixture, sources.sum(dim=1) / peak[:, None, None])
    torch.testing.assert_close(targets, sources[:, 1:2] / peak[:, None, None, None])


def test_augmentations_depend_on_the_batch_alone(tmp_path):
    trained = system(network("bass"), Examples(), tmp_path)
    trained.augment = Augmentations(["gain_db", "silent_source"])
    sources = torch.stack([Examples()[index]["sources"] for index in range(2)])

    def draw(batch, noise):
        trained._batch_seed = lambda: batch
        torch.manual_seed(noise)
        return trained.prepare(sources)[0]

    assert torch.equal(draw(1, noise=0), draw(1, noise=5))
    assert not torch.equal(draw(1, noise=0), draw(2, noise=0))
    # What else draws random numbers goes on undisturbed.
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    trained.prepare(sources)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("domain", ["time", "stft", "time+stft"])
def test_loss_domains(domain):
    torch.manual_seed(0)
    estimates, sources = torch.randn(2, 2, 1, 2, 4000)
    model = network("vocals")
    pair = [model.encoder(signal) for signal in (estimates, sources)]
    real, imaginary = zip(*(signal.chunk(2, -2) for signal in pair), strict=True)
    time = (estimates - sources).abs().mean()
    stft = (real[0] - real[1]).abs().mean() + (imaginary[0] - imaginary[1]).abs().mean()
    expected = {"time": time, "stft": stft, "time+stft": time + stft}[domain]
    torch.testing.assert_close(L1Loss(domain)(estimates, sources, *pair), expected)


def test_unknown_loss_domains_are_refused():
    with pytest.raises(ValueError, match="'tf'.*time, stft, time\\+stft"):
        L1Loss("tf")


class Known(Examples):
    """The same examples, with the matrix of what is known."""

    def __init__(self, known, **options):
        super().__init__(**options)
        self.known = known

    def __getitem__(self, index):
        return {**super().__getitem__(index), "known": self.known}


@pytest.mark.parametrize("sources", [("drums", "vocals"), STEMS])
def test_labelled_examples_train_alike_beside_others(tmp_path, sources):
    trained = []
    for examples in (Examples(), Known(torch.eye(4))):
        torch.manual_seed(0)
        model = system(network(*sources), examples, tmp_path, normalise=peak_normalise)
        model.augment = Augmentations(["gain_db", "silent_source"])
        fit(model, tmp_path)
        trained.append(model.model.state_dict())
    for name, value in trained[0].items():
        # Adam's first steps depend on the signs of gradients.
        torch.testing.assert_close(trained[1][name], value, rtol=1e-3, atol=1e-5)


def test_only_sums_that_the_network_estimates_are_compared(tmp_path):
    trained = system(network("drums", "vocals"), Examples(), tmp_path, normalise=peak_normalise)
    known = torch.zeros(1, 4, 4)
    known[0, 0, [0, 2]] = 1  # vocals and drums
    known[0, 1, 1] = 1  # bass, which it does not estimate
    known[0, 3, [2, 3]] = 1  # drums and other
    comparable = trained.comparable(known)
    assert comparable.tolist() == [[[1, 1], [0, 0], [0, 0], [0, 0]]]
    sources = Examples()[0]["sources"].unsqueeze(0)
    mixture, targets = trained.prepare(sources, comparable)
    peak = torch.maximum(sources.sum(dim=1).abs().max(), sources[0, 0].abs().max())
    torch.testing.assert_close(mixture, sources.sum(dim=1) / peak)
    torch.testing.assert_close(targets[0, 0], sources[0, 0] / peak)
    assert not targets[0, 1:].any()
    estimates, spectrograms = trained.model.forward_with_spectrogram(mixture)
    time = (estimates.sum(dim=1) - targets[:, 0]).abs().mean()
    stft = (spectrograms.sum(dim=1) - trained.model.encoder(targets[:, 0])).abs().mean()
    torch.testing.assert_close(trained.loss_of(mixture, targets, comparable), time + 2 * stft)
