"""Geometric training end to end on a corpus of tones, and its parts."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from baselines.pose_driven_network import load_network
from media.errors import AvatarBenchError
from reference_model.body.template import load_template
from reference_model.corpus.corpus_file import GeometryCorpus, encode_log_mel, save_corpus
from reference_model.innovations import BLINK_ONSET
from reference_model.networks.model import WEIGHTS, load_model
from reference_model.networks.phoneme_encoder import encode_ids
from reference_model.networks.weights import read_metadata
from reference_model.training.batches import Batch
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.face_report import FaceCurves, face_report
from reference_model.training.geometric import main, make_objective
from reference_model.training.losses import blinks_seen, joint_levers, lid_loss, lip_gap_loss
from reference_model.training.speech_readout import SpeechReadout
from reference_model.training.trainer import Trainer, TrainingOptions

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> Path:
    """A corpus in which the jaw follows the loudness of a band, 4 takes of 5 s, one of them held out."""
    rng = np.random.default_rng(0)
    template, n_takes, length = load_template(), 4, 125
    n = n_takes * length
    opening = np.clip(np.sin(np.arange(n) * 0.35) + rng.normal(0, 0.1, n), 0, 1).astype(np.float32)
    power = np.full((4 * n, 80), 1e-4, np.float32)
    power[:, 10:30] += np.repeat(opening, 4)[:, None] * 0.1
    actions = np.zeros((n, 52), np.float32)
    actions[:, template.action("jawOpen")] = 0.4 * opening
    basis = np.zeros((1, 1, 3), np.float32)
    basis[0, 0, 0] = 1.0
    corpus = GeometryCorpus(
        log_mel=encode_log_mel(power),
        actions=actions.astype(np.float16),
        rotation_coefficients=(0.2 * opening[:, None]).astype(np.float16),
        rotation_basis=basis,
        rotation_joints=np.array([template.joint("head")], np.int16),
        innovations=np.zeros((n, 8), np.float16),
        gap_mm=(12 * opening).astype(np.float16),
        closure=opening == 0,
        phoneme_class=np.zeros(4 * n, np.int8),
        class_names=np.array(["tone"]),
        spoken=encode_ids(["a", "m", "o", ""]).numpy().astype(np.int16),
        spoken_at=np.array([0.0, 30.5, 125.0, 400.0], np.float32),
        take_start=np.arange(0, n + 1, length, dtype=np.int32),
        held_out=np.array([False, False, False, True]),
        voice=np.array(["tone"] * n_takes),
        text=np.array([""] * n_takes),
        style=np.zeros((n_takes, 6), np.float32),
    )
    path = tmp_path_factory.mktemp("corpus") / "geometry.npz"
    save_corpus(path, corpus)
    return path


SMALL = "--speech-steps 1 --batch 2 --frames 24 --density 0.02 --held-out-crops 2 --device cpu".split()


class OneBatch(CorpusBatches):
    """The same batch in every step."""

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> Batch:
        return super().draw(batch, frames, generator.manual_seed(0))


@pytest.mark.parametrize("name", ["particles", "pose_driven"])
def test_a_batch_can_be_learned(tones, name):
    torch.manual_seed(0)
    options = TrainingOptions(steps=20, speech_steps=2, batch=2, frames=16, warm_up=4)
    device = torch.device("cpu")
    trainer = Trainer(make_objective(name, 0.02), OneBatch(tones, device), options, device)
    totals = [losses["total"] for losses in trainer.run()]
    assert len(totals) == 20
    assert np.isfinite(totals).all()
    assert min(totals[-4:]) < 0.75 * totals[0]


@pytest.mark.parametrize("name", ["particles", "pose_driven"])
def test_the_command_writes_weights_that_load(tones, tmp_path, caplog, name):
    out = tmp_path / "weights.safetensors"
    with caplog.at_level(logging.INFO):
        assert main(["--corpus", str(tones), "--out", str(out), "--model", name, "--steps", "2", *SMALL]) == 0
    network = load_model(out) if name == "particles" else load_network(out)
    metadata = read_metadata(out, type(network).__name__)
    assert metadata["options"]["seed"] == 0
    assert len(metadata["corpus_sha256"]) == 64
    assert "held out, at the end: gap r" in caplog.text


def test_equal_seeds_give_equal_weights(tones):
    def first_losses() -> list[float]:
        torch.manual_seed(3)
        options = TrainingOptions(steps=2, speech_steps=2, batch=2, frames=16, seed=3)
        device = torch.device("cpu")
        trainer = Trainer(make_objective("particles", 0.02), CorpusBatches(tones, device), options, device)
        return [losses["total"] for losses in trainer.run()]

    assert first_losses() == first_losses()


def test_a_missing_corpus_is_an_error_with_a_code(tmp_path, caplog):
    out = tmp_path / "weights.safetensors"
    assert main(["--corpus", str(tmp_path / "none.npz"), "--out", str(out), *SMALL]) == 3
    assert "E401" in caplog.text
    assert not out.exists()


def test_batches_stay_inside_one_take_and_fade_in_where_they_start_in_its_middle(tones):
    corpus = CorpusBatches(tones, "cpu")
    batch = corpus.draw(16, 40, torch.Generator().manual_seed(0))
    assert batch.mel.shape == (16, 160, 80)
    assert batch.rotations.shape == (16, 40, 104, 3)
    begun = batch.weight[:, 0] < 1
    assert begun.any()
    assert (batch.weight[:, 12:] == 1).all()  # takes are longer than crops
    longer = corpus.draw(2, 150, torch.Generator().manual_seed(0))
    assert (longer.weight[:, 125:] == 0).all()


def test_held_out_batches_repeat_and_never_come_up_in_training(tones):
    corpus = CorpusBatches(tones, "cpu")
    first, second = (corpus.held_out(3, 40, 2) for _ in range(2))
    assert [len(batch.mel) for batch in first] == [2, 1]
    assert all(torch.equal(a.mel, b.mel) for a, b in zip(first, second, strict=True))
    with pytest.raises(AvatarBenchError, match="E401"):
        corpus._takes[True] = corpus._takes[True][:0]
        corpus.held_out(1, 40, 1)


def test_closures_weigh_more_in_the_gap_loss():
    error = torch.full((1, 2, 1), 0.002)
    shut = torch.tensor([[True, False]])
    frames = torch.ones(1, 2)
    even = lip_gap_loss(error, shut, 0.0, frames)
    assert torch.allclose(even, lip_gap_loss(error, shut, 4.0, frames))  # a weighted mean of equal errors
    error[0, 0] = 0
    assert float(lip_gap_loss(error, shut, 4.0, frames)) == pytest.approx(float(even) / 6, rel=1e-4)


def test_levers_grow_towards_the_root():
    template = load_template()
    levers = joint_levers(template)
    shoulder, elbow, wrist = (levers[template.joint(n)] for n in ("upperarm01.L", "lowerarm01.L", "wrist.L"))
    assert 0.601 > float(shoulder) > float(elbow) > float(wrist) > 0.05


def test_lids_count_only_while_they_are_down():
    error = torch.zeros(1, 3, 2, 3)
    error[0, :2, :, 2] = 0.004
    drop, frames = torch.tensor([[0.0, 0.005, 0.005]]), torch.ones(1, 3)
    assert float(lid_loss(error, drop, frames)) == pytest.approx(
        3.5 / 2
    )  # Huber: 4 mm less a half; one of two
    assert float(lid_loss(error, torch.zeros(1, 3), frames)) == 0


def test_a_blink_that_began_before_the_crop_is_asked_of_nobody():
    innovations = torch.zeros(2, 5, 8)
    innovations[0, 2, BLINK_ONSET] = 1
    assert blinks_seen(innovations).tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]


def test_report_of_a_perfect_a_shut_and_a_shifted_prediction():
    time = np.arange(200) / 25
    gap = 0.006 * (1 - np.cos(2 * np.pi * time))
    wanted = FaceCurves(gap, 0.008 * (np.arange(200) % 50 == 0))
    closure = gap < 0.0005
    perfect = face_report([wanted], [wanted], [closure])
    assert perfect.gap_r == pytest.approx(1)
    assert perfect.closure_recall == 1
    assert perfect.false_closure == 0
    assert perfect.blink_depth == pytest.approx(1)
    shut = face_report([FaceCurves(np.zeros(200), np.zeros(200))], [wanted], [closure])
    assert (shut.gap_r, shut.closure_recall, shut.false_closure, shut.blink_depth) == (0, 1, 1, 0)
    opposite = face_report([wanted._replace(gap=gap.max() - gap)], [wanted], [closure])
    assert opposite.gap_r == pytest.approx(-1)
    assert opposite.closure_recall == 0


def test_training_needs_none_of_the_packages_that_a_gpu_machine_lacks():
    code = (
        "import sys\n"
        "for name in ('mediapipe', 'anny', 'pydantic', 'av', 'cv2', 'typer', 'rich', 'pandas'):\n"
        "    sys.modules[name] = None\n"
        "from reference_model.training.geometric import make_objective\n"
        "make_objective('particles', 0.02); make_objective('pose_driven', 0.02)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_the_read_out_learns_gap_and_phoneme_of_tokens_that_hold_them():
    torch.manual_seed(0)
    gap, phoneme = torch.rand(4, 30) * 12, torch.randint(0, 24, (4, 30))
    driving = torch.cat([gap[..., None], torch.nn.functional.one_hot(phoneme, 24)], -1).float()
    nothing = torch.zeros(4, 30, 0)
    batch = Batch(*[nothing] * 6, gap < 1, gap, phoneme, nothing, nothing, torch.ones(4, 30))
    readout = SpeechReadout(25)
    optimiser = torch.optim.Adam(readout.parameters(), 0.05)
    start = readout(driving, batch).item()
    for _ in range(300):
        optimiser.zero_grad()
        loss = readout(driving, batch)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05 * start
    shuffled = batch._replace(gap=gap[:, torch.randperm(30)])
    assert readout(driving, shuffled).item() > 5 * loss.item()


def test_frames_past_the_end_do_not_count_in_the_read_out():
    torch.manual_seed(0)
    nothing = torch.zeros(1, 6, 0)
    weight = torch.tensor([[1.0, 1, 1, 0, 0, 0]])
    gap, phoneme = torch.rand(1, 6), torch.zeros(1, 6, dtype=torch.long)
    batch = Batch(*[nothing] * 6, torch.zeros(1, 6, dtype=torch.bool), gap, phoneme, nothing, nothing, weight)
    readout, driving = SpeechReadout(3), torch.randn(1, 6, 3)
    other = batch._replace(gap=torch.where(weight > 0, gap, 9.0), phoneme=torch.where(weight > 0, phoneme, 5))
    assert torch.equal(readout(driving, batch), readout(driving, other))


def test_training_goes_on_from_weights_and_says_from_which(tones, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert main(["--corpus", str(tones), "--out", str(first), "--steps", "1", *SMALL]) == 0
    still = ["--learning-rate", "0", "--start", str(first)]
    assert main(["--corpus", str(tones), "--out", str(second), "--steps", "1", *SMALL, *still]) == 0
    before, after = read_metadata(first, "AvatarModel"), read_metadata(second, "AvatarModel")
    tensors, unchanged = load_file(str(first)), load_file(str(second))
    assert all(torch.equal(tensors[name], unchanged[name]) for name in tensors)
    assert after["start"] == before
    assert after["options"]["learning_rate"] == 0


def test_training_goes_on_from_the_shipped_weights_which_go_on_reading(tones, tmp_path):
    out = tmp_path / "on.safetensors"
    start = ["--start", str(WEIGHTS), "--steps", "1"]
    assert main(["--corpus", str(tones), "--out", str(out), *start, *SMALL]) == 0
    assert load_model(out).config == load_model().config
