"""Phoneme encoder and fusion are trained beside a model that hears, and change nothing where there is no text."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reference_model.corpus.corpus_file import load_corpus, save_corpus
from reference_model.corpus.geometry_corpus import Take, build_corpus, draw_takes
from reference_model.corpus.motion.animator import Motion, Style
from reference_model.corpus.speech.synthesis import SpeechSynthesizer, Utterance, Voice
from reference_model.networks.model import MINI, AvatarModel, load_model
from reference_model.networks.phoneme_encoder import encode_ids
from reference_model.networks.weights import read_metadata, save_weights
from reference_model.training.batches import Batch
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.geometric import main
from reference_model.training.text import text_objective, with_text, without_words
from reference_model.training.trainer import Trainer, TrainingOptions, evaluate


def take(pictures: int, phonemes: list[tuple[float, str]]) -> Take:
    utterance = Utterance(np.zeros(pictures * 640, np.float32), phonemes, [], "", Voice())
    actions = np.zeros((pictures, 52))
    rotations = np.zeros((pictures, 163, 3))
    rotations[:, 0, 0] = 0.1
    return Take(
        utterance, Motion(actions, rotations), np.zeros((pictures, 8), np.float32), Style(), held_out=False
    )


def test_a_crop_has_the_phonemes_of_its_own_take_in_pictures_from_its_start(tmp_path):
    takes = [
        take(50, [(0.0, "p"), (1.0, "a"), (2.5, "")]),
        take(200, [(0.4, "m"), (2.0, "ˈo"), (7.0, "s")]),
    ]
    save_corpus(tmp_path / "speech.npz", build_corpus(takes))
    assert load_corpus(tmp_path / "speech.npz").spoken_at.tolist() == [0.0, 25.0, 60.0, 100.0, 225.0]
    corpus = CorpusBatches(tmp_path / "speech.npz", "cpu")
    pictures = torch.tensor([0, 60, 50 + 151])[:, None] + torch.arange(50)
    ids, start = corpus._text(pictures)
    assert start.shape == (3, 2)
    assert start[0].tolist() == [0.0, 25.0]
    assert start[1].tolist() == [0.0, 40.0]  # the take begins at picture 50, "m" at 60 of all
    assert start[2].tolist() == [24.0, torch.inf]  # what began over 4 s before is left out
    assert torch.equal(ids[0], encode_ids(["p", "a"]))
    assert torch.equal(ids[1], encode_ids(["m", "ˈo"]))
    assert torch.equal(ids[2, :1], encode_ids(["s"])) and not ids[2, 1].any()


@pytest.fixture(scope="module")
def hears(tmp_path_factory) -> Path:
    """The shipped weights without what reads."""
    plain, shipped = AvatarModel(MINI), load_model().state_dict()
    plain.load_state_dict({name: shipped[name] for name in plain.state_dict()})
    path = tmp_path_factory.mktemp("text") / "hears.safetensors"
    save_weights(
        path, plain.state_dict(), {"kind": "AvatarModel", "config": {}, "command": "made for a test"}
    )
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    """A corpus of four minutes."""
    with SpeechSynthesizer(n_random_variants=12, seed=0) as synthesizer:
        takes = list(draw_takes(synthesizer, 0.06, seed=1))
    path = tmp_path_factory.mktemp("corpus") / "speech.npz"
    save_corpus(path, build_corpus(takes))
    return path


def test_what_hears_and_moves_stays_to_the_bit(hears, speech, tmp_path, caplog):
    reads = tmp_path / "reads.safetensors"
    small = "--steps 2 --batch 2 --frames 24 --density 0.02 --held-out-crops 2 --device cpu --text".split()
    with caplog.at_level(logging.INFO):
        assert main(["--corpus", str(speech), "--start", str(hears), "--out", str(reads), *small]) == 0
    assert "without the text: gap r" in caplog.text
    before, after = load_file(str(hears)), load_file(str(reads))
    assert all(torch.equal(before[name], after[name]) for name in before)
    added = set(after) - set(before)
    assert added and all(name.startswith(("audio.fusion.", "text.")) for name in added)
    assert load_model(reads).config.text == "phonemes"
    document = read_metadata(reads, "AvatarModel")
    assert document["command"].endswith("--text")
    assert document["start"]["command"] == "made for a test"
    assert document["options"]["speech_steps"] == 0


class Deaf(CorpusBatches):
    """The same crops in every step, and nothing can be heard."""

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> Batch:
        crops = super().draw(batch, frames, generator.manual_seed(0))
        return crops._replace(mel=torch.zeros_like(crops.mel))


def test_what_cannot_be_heard_is_read(hears, speech):
    torch.manual_seed(0)
    options = TrainingOptions(
        steps=30, speech_steps=0, batch=2, frames=50, warm_up=3, ema=0.7, learning_rate=6e-3
    )
    corpus, objective = Deaf(speech, "cpu"), text_objective(hears, density=0.02)
    trainer = Trainer(objective, corpus, options, torch.device("cpu"), started=True)
    totals = [losses["total"] for losses in trainer.run()]
    crops = corpus.draw(2, 50, torch.Generator())
    with trainer.averaged_weights():
        read, unread = evaluate(objective, [crops]), evaluate(objective, [without_words(crops)])
    assert totals[-1] < 0.8 * totals[0]
    assert read.gap_r > unread.gap_r + 0.3
    assert read.gap_error_mm < 0.8 * unread.gap_error_mm


@torch.no_grad()
def test_a_new_text_side_leaves_a_model_without_text_as_it_was(hears):
    model = AvatarModel(MINI).eval()
    model.load_state_dict(load_model(hears).state_dict())
    reading = with_text(model).eval()
    mel, innovations = torch.randn(1, 80, 80), torch.randn(1, 20, 8)
    assert torch.equal(model.audio(mel, innovations)[0], reading.audio(mel, innovations)[0])


def test_missing_weights_are_an_error_with_a_code(speech, tmp_path, caplog):
    command = ["--corpus", str(speech), "--start", str(tmp_path / "none"), "--out", str(tmp_path / "x")]
    assert main([*command, "--text", "--device", "cpu"]) == 3
    assert "E502" in caplog.text


def test_text_without_weights_that_hear_is_refused(speech, tmp_path):
    with pytest.raises(SystemExit):
        main(["--corpus", str(speech), "--out", str(tmp_path / "x"), "--text"])
