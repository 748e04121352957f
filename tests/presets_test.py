"""Every row of the paper's table: parameter counts of the reference, to the last one."""

import pytest
import torch

from asteroid_bsrnn import presets

SINGLE_SOURCE = {  # vocals, bass, drums, other
    "bsrnn": (8020296, 7111432, 9177032, 8020296),
    "bsrnn_stft4096": (9208136, 8299272, 10364872, 9208136),
    "bsrnn_mask2": (5133896, 4858632, 5484232, 5133896),
    "bsrnn_large": (36417160, 32797192, 41024392, 36417160),
    "bsrnn_naive": (9209296, 8300432, 10366032, 9209296),
    "bsrnn_naive_mask8": (20062160, 16804752, 24207952, 20062160),
    "bsrnn_tac_tanh": (8613704, 7704840, 9770440, 8613704),
    "bsrnn_tac_prelu": (8613712, 7704848, 9770448, 8613712),
    "bscnn": (7365960, 6457096, 8522696, 7365960),
    "bsrnn_attention1": (8189672, 7255464, 9378664, 8189672),
    "bsrnn_attention2": (8246144, 7303488, 9445888, 8246144),
    "bsrnn_multihead2": (5446472, 4537608, 6603208, 5446472),
    "obsrnn_notac": (37227484, 33523036, 41942236, 37227484),
    "obsrnn": (40777192, 37072744, 45491944, 40777192),
}
SIMO = {"simo_bsrnn_subtract": 20861520, "simo_bsrnn": 26621140, "obsrnn_simo": 108727540}


def count(name, source=None, **overrides):
    with torch.device("meta"):
        network = presets.build(name, source, **overrides)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", SINGLE_SOURCE)
def test_parameters_of_single_source_presets(name):
    counts = tuple(count(name, source) for source in ("vocals", "bass", "drums", "other"))
    assert counts == SINGLE_SOURCE[name]


@pytest.mark.parametrize("name", SIMO)
def test_parameters_of_simo_presets(name):
    assert count(name) == SIMO[name]


def test_parameters_of_variants_for_vocals():
    assert count("bsrnn_joint", "vocals") == 9342280
    assert count("bsrnn_gru", "vocals") == 7225672
    assert count("bsrnn", "vocals", time_layer="gru") == 7622984
    assert count("bsrnn", "vocals", band_layer="gru") == 7622984
    assert count("bsrnn", "vocals", time_layer="conv", band_layer="conv") == 5632328


def test_parameters_with_mask_expansion_1():
    sources = ("vocals", "bass", "drums", "other")
    counts = [count("bsrnn", source, mask_expansion=1) for source in sources]
    assert counts == [4194504, 4100872, 4313672, 4194504]


def test_names_are_those_of_the_table():
    named = {*SINGLE_SOURCE, *SIMO, "bsrnn_joint", "bsrnn_gru"}
    assert len(presets.names()) == 19
    assert set(presets.names()) == named


def test_sources():
    assert presets.build("bsrnn", "bass", feature_dim=4, n_repeats=1).sources == ("bass",)
    simo = presets.build("simo_bsrnn", feature_dim=4, n_repeats=1)
    assert simo.sources == ("vocals", "bass", "drums", "other")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("obsrn", "vocals"), "obsrnn_simo"),
        (("obsrnn",), "vocals, bass, drums, other"),
        (("obsrnn", "guitar"), "'guitar'"),
        (("obsrnn_simo", "vocals"), "leave source out"),
    ],
)
def test_unknown_names_are_refused_with_the_valid_ones(arguments, words):
    with pytest.raises(ValueError, match=words):
        presets.build(*arguments)


def test_unknown_overrides_are_refused_with_the_valid_ones():
    with pytest.raises(TypeError, match="unknown argument 'n_repeat'.*n_repeats"):
        presets.build("bsrnn", "vocals", n_repeat=1)


def test_separator_of_one_network_a_source():
    separator = presets.build_separator("bsrnn", feature_dim=4, n_repeats=1)
    assert separator.sources == ("vocals", "bass", "drums", "other")
    assert separator(torch.randn(1, 2, 3000)).shape == (1, 4, 2, 3000)
    one = presets.build_separator("bsrnn", sources="bass", feature_dim=4, n_repeats=1)
    assert one.sources == ("bass",)
    with pytest.raises(ValueError, match="leave sources out"):
        presets.build_separator("simo_bsrnn", sources=["bass"])
