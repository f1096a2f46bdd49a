"""The pass against the truth from the side, on a person that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_model.avatar.personalize import one_thread
from reference_model.corpus.people.person import save_person
from reference_model.evaluation import turned_views
from reference_model.evaluation.turned_views import turned_psnr
from reference_model.reconstruction.reconstruction_file import load_canvas_network
from reference_model.training import reconstruction_samples
from tests.corpus.sample_people import SOMEONE, mean_body, sample_look


def test_the_pass_is_nearer_to_the_truth_than_the_canvas_in_front_and_from_the_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reconstruction_samples, "_GAUSSIANS", (10_000,))
    monkeypatch.setattr(turned_views, "_STARTS", {"canvas": (False, 0), "pass": (True, 0)})
    save_person(tmp_path / "someone.npz", sample_look(SOMEONE, 7), mean_body(), 7)
    network = load_canvas_network()
    with one_thread():
        (sample,) = reconstruction_samples.draw_samples(tmp_path / "someone.npz", network, 7, 1)
        found = turned_psnr(sample, network)
    canvas, after = found["canvas"], found["pass"]
    assert after[0] > canvas[0] + 1.0
    assert sum(after[1:]) > sum(canvas[1:])
