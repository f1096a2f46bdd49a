from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.corpus.corpus_file import compress_rotations, decode_log_mel, encode_log_mel, load_corpus
from reference_model.corpus.geometry_corpus import build_corpus, draw_takes, main
from reference_model.corpus.speech.utterances import is_held_out_variant
from reference_model.networks.features import power_mel


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    assert main(["--hours", "0.05", "--out", str(folder), "--seed", "3"]) == 0
    return load_corpus(folder / "geometry.npz"), json.loads((folder / "report.json").read_text())


def test_a_corpus_is_as_long_as_asked_and_its_parts_agree(made):
    corpus, report = made
    n_pictures = len(corpus.actions)
    assert 0.05 <= n_pictures / 25 / 3600 < 0.06
    assert corpus.log_mel.shape == (4 * n_pictures, 80)
    assert len(corpus.phoneme_class) == 4 * n_pictures
    assert corpus.take_start[-1] == n_pictures
    assert len(corpus.held_out) == len(corpus.voice) == len(corpus.text) == len(corpus.style)
    assert report["takes"] == len(corpus.voice)


def test_lips_are_shut_on_every_closed_picture_of_the_file(made):
    corpus, _ = made
    assert corpus.closure.sum() > 100
    assert corpus.gap_mm[corpus.closure].max() <= 0.5


def test_the_splits_share_no_voice_variant(made):
    corpus, _ = made
    for voice, held_out in zip(corpus.voice, corpus.held_out, strict=True):
        assert is_held_out_variant(str(voice).partition("+")[2]) == held_out
    spans = corpus.takes(held_out=True) + corpus.takes(held_out=False)
    assert sum(end - first for first, end in spans) == len(corpus.actions)


def test_the_file_holds_what_the_animator_made(synthesizer):
    takes = list(draw_takes(synthesizer, 0.01, seed=1))
    corpus = build_corpus(takes)
    end = int(corpus.take_start[1])
    moved = corpus.rotation_joints
    np.testing.assert_allclose(corpus.rotations(0, end), takes[0].motion.rotations[:, moved], atol=1e-3)
    still = np.delete(takes[0].motion.rotations, moved, axis=1)
    assert np.abs(still).max() == 0
    np.testing.assert_allclose(corpus.actions[:end], takes[0].motion.actions, atol=1e-3)
    power = power_mel(torch.from_numpy(takes[0].utterance.samples)).numpy()[: 4 * end]
    error = np.log(corpus.power(0, end)) - np.log(power + 1e-8)
    assert np.abs(error[power < 1e4]).max() < 0.06  # half a step


def test_equal_seeds_give_equal_corpora(synthesizer):
    first, second = (build_corpus(list(draw_takes(synthesizer, 0.004, seed=9))) for _ in range(2))
    np.testing.assert_array_equal(first.log_mel, second.log_mel)
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.rotation_coefficients, second.rotation_coefficients)


def test_eight_bits_hold_the_logarithm_of_power():
    power = np.logspace(-6, 4, 500)
    assert np.abs(np.log(decode_log_mel(encode_log_mel(power)) / power)).max() < 0.07


def test_rotations_made_of_few_tracks_take_few_coefficients():
    rng = np.random.default_rng(0)
    rotations = np.zeros((200, 30, 3))
    rotations[:, 5:15] = (
        np.einsum("tc,cjk->tjk", rng.normal(size=(200, 4)), rng.normal(size=(4, 10, 3))) * 0.1
    )
    coefficients, basis, joints = compress_rotations(rotations)
    assert coefficients.shape == (200, 4)
    assert joints.tolist() == list(range(5, 15))
    np.testing.assert_allclose(
        np.tensordot(coefficients.astype(float), basis, 1), rotations[:, 5:15], atol=1e-3
    )


def test_a_damaged_file_is_the_users_error(tmp_path):
    path = tmp_path / "geometry.npz"
    path.write_bytes(b"not an archive")
    for broken in (path, tmp_path / "missing.npz"):
        with pytest.raises(AvatarBenchError) as caught:
            load_corpus(broken)
        assert caught.value.code == "E401"


def test_a_folder_that_cannot_be_made_ends_with_status_3(tmp_path):
    (tmp_path / "file").write_text("")
    assert main(["--hours", "0.001", "--out", str(tmp_path / "file" / "below")]) == 3
