from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from reference_model.avatar.personalize import SeenPhoto, fit_seen, one_thread
from reference_model.evaluation.seen_photos import load_seen_photos, save_seen_photos
from tests.photo.known_person import make_known_person


def test_what_was_saved_is_read_again_and_enough_for_a_fit(tmp_path: Path) -> None:
    person = make_known_person()
    photo = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
    one_hand = dataclasses.replace(person.landmarks, hands={"left": person.landmarks.hands["left"]})
    seen = {
        "both": SeenPhoto(photo, person.landmarks, person.alpha),
        "one": SeenPhoto(photo, one_hand, person.alpha),
    }
    path = tmp_path / "seen.npz"

    save_seen_photos(path, seen)
    again = load_seen_photos(path)

    assert list(again) == ["both", "one"]
    assert list(again["one"].landmarks.hands) == ["left"]
    for name in seen:
        assert np.array_equal(again[name].photo, photo)
        assert np.abs(again[name].alpha - person.alpha).max() < 1e-3
        for part in ("pose", "pose_world", "face", "n_people"):
            assert np.array_equal(getattr(again[name].landmarks, part), getattr(seen[name].landmarks, part))
    assert np.array_equal(again["one"].landmarks.hands["left"].world, one_hand.hands["left"].world)

    stages: list[str] = []
    with one_thread():
        fitted = fit_seen(again["both"], n_gaussians=2_000, progress=lambda stage, _: stages.append(stage))
    assert stages == ["fit", "silhouette", "gaussians"]
    assert fitted.overlap > 0.95
