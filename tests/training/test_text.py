"""Phoneme encoder and fusion are trained beside a model that hears, and change nothing where there is no text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reference_model.corpus.corpus_file import save_corpus
from reference_model.corpus.geometry_corpus import Take, build_corpus, draw_takes
from reference_model.corpus.motion.animator import Motion, Style
from reference_model.corpus.speech.synthesis import SpeechSynthesizer, Utterance, Voice
from reference_model.networks.model import MINI, AvatarModel, load_model
from reference_model.networks.phoneme_encoder import encode_ids
from reference_model.networks.weights import read_metadata, save_weights
from reference_model.training.batches import Batch
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.text import (
    TimedPhonemes,
    main,
    teach_readout,
    text_figures,
    train_text,
    with_text,
)


def take(pictures: int, phonemes: list[tuple[float, str]]) -> Take:
    utterance = Utterance(np.zeros(pictures * 640, np.float32), phonemes, [], "", Voice())
    motion = Motion(np.zeros((pictures, 52)), np.zeros((pictures, 163, 3)))
    return Take(utterance, motion, np.zeros((pictures, 8), np.float32), Style(), held_out=False)


def test_a_crop_has_the_phonemes_of_its_own_take_in_frames_from_its_start():
    phonemes = TimedPhonemes(
        [take(50, [(0.0, "p"), (1.0, "a")]), take(200, [(0.4, "m"), (2.0, "ˈo"), (7.0, "s")])]
    )
    ids, start = phonemes.of_crops(torch.tensor([0, 60, 50 + 170]), 50)
    assert start.shape == (3, 2)
    assert start[0].tolist() == [0.0, 25.0]
    assert start[1].tolist() == [0.0, 40.0]  # the take begins at picture 50, "m" at 60 of all
    assert start[2].tolist() == [5.0, torch.inf]  # what began over 4 s before is left out
    assert torch.equal(ids[0], encode_ids(["p", "a"]))
    assert torch.equal(ids[1], encode_ids(["m", "ˈo"]))
    assert torch.equal(ids[2, :1], encode_ids(["s"])) and not ids[2, 1].any()


def hearing_model() -> AvatarModel:
    """The shipped weights without what reads."""
    model = AvatarModel(MINI)
    shipped = load_model().state_dict()
    model.load_state_dict({name: shipped[name] for name in model.state_dict()})
    return model.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """Weights that hear only, and those that read as well."""
    folder = tmp_path_factory.mktemp("text")
    hears, reads = folder / "hears.safetensors", folder / "reads.safetensors"
    plain = AvatarModel(MINI)
    shipped = {name: value for name, value in load_model().state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict(shipped)
    save_weights(
        hears, plain.state_dict(), {"kind": "AvatarModel", "config": {}, "command": "made for a test"}
    )
    made = ["--hours", "0.05", "--recorded", "0", "--seed", "3", "--steps", "2", "--batch", "2"]
    assert main(["--start", str(hears), "--out", str(reads), *made]) == 0
    return hears, reads


def test_what_hears_and_moves_stays_to_the_bit(trained):
    hears, reads = trained
    before, after = load_file(str(hears)), load_file(str(reads))
    assert all(torch.equal(before[name], after[name]) for name in before)
    added = set(after) - set(before)
    assert added and all(name.startswith(("audio.fusion.", "text.")) for name in added)


class Deaf(CorpusBatches):
    """Nothing can be heard."""

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> Batch:
        crops = super().draw(batch, frames, generator)
        return crops._replace(mel=torch.zeros_like(crops.mel))


def test_what_cannot_be_heard_is_read(tmp_path):
    torch.manual_seed(0)
    with SpeechSynthesizer(n_random_variants=12, seed=0) as synthesizer:
        takes = list(draw_takes(synthesizer, 0.03, seed=1))
    save_corpus(tmp_path / "speech.npz", build_corpus(takes))
    corpus, phonemes = Deaf(tmp_path / "speech.npz", "cpu"), TimedPhonemes(takes)
    model, generator = with_text(hearing_model()), torch.Generator().manual_seed(0)
    hearing = CorpusBatches(tmp_path / "speech.npz", "cpu")
    readout = teach_readout(model, hearing, steps=40, batch=6, generator=generator)
    crops = [corpus.draw(6, 100, generator)]
    steps = list(train_text(model, readout, corpus, phonemes, steps=60, batch=6, generator=generator))
    after = text_figures(model, readout, crops, phonemes)
    assert len(steps) == 60
    assert after.gap_r_with_text > after.gap_r + 0.3
    assert after.phonemes_right_with_text > after.phonemes_right


def test_the_weights_say_where_they_come_from(trained):
    hears, reads = trained
    document, start = read_metadata(reads, "AvatarModel"), read_metadata(hears, "AvatarModel")
    assert document["command"] == "made for a test"
    assert document["text"]["start_tensors_sha256"] == start["tensors_sha256"]
    assert document["text"]["options"]["steps"] == 2


@torch.no_grad()
def test_a_new_text_side_leaves_a_model_without_text_as_it_was():
    model = hearing_model()
    reading = with_text(model).eval().requires_grad_(False)
    mel, innovations = torch.randn(1, 80, 80), torch.randn(1, 20, 8)
    assert torch.equal(model.audio(mel, innovations)[0], reading.audio(mel, innovations)[0])


def test_missing_weights_are_an_error_with_a_code(tmp_path, caplog):
    assert main(["--start", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 3
    assert "E502" in caplog.text
