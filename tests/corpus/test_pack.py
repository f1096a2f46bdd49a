"""`avatar corpus pack` on a corpus of the real stages: what is in the file is what the clip shows, and it trains."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from media.audio import load_audio
from media.video import read_frames
from reference_model.avatar.io import save_avatar
from reference_model.cli import main
from reference_model.corpus.pipeline.plan import Corpus
from reference_model.networks.model import load_model
from reference_model.training.rendered_batches import RenderedBatches
from reference_model.training.rendered_file import PackedFile, View, load_packed
from reference_model.training.rendered_objective import RenderedObjective
from tests.template_avatar import template_avatar

EVERY, WIDTH, HEAD = 20, 96, 48


@pytest.fixture(scope="module")
def packed(talking_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> PackedFile:
    """The corpus as a file. An avatar that stands in it is not made again, which would take a minute."""
    (name,) = talking_corpus.attributes
    path = talking_corpus.path("avatars", name, "avatar")
    path.parent.mkdir(exist_ok=True)
    save_avatar(path, template_avatar(1500))
    out = tmp_path_factory.mktemp("packed") / "data.safetensors"
    options = ["--every", str(EVERY), "--width", str(WIDTH), "--head", str(HEAD)]
    assert main(["corpus", "pack", str(talking_corpus.folder), "-o", str(out), *options]) == 0
    return load_packed(out)


def test_every_so_manieth_picture_of_the_clip_is_stored_in_both_views(
    talking_corpus: Corpus, packed: PackedFile
) -> None:
    (clip,), (person,) = packed.clips, packed.people.values()
    assert clip.name in talking_corpus.clips and packed.size == (192, 256)
    assert clip.shown.tolist() == [0, 20, 40]
    frames = list(read_frames(talking_corpus.path("clips", clip.name, "mp4")))
    alphas = list(read_frames(talking_corpus.path("alpha", clip.name, "mp4")))
    for view, size, pictures in zip(person.views, ((WIDTH, 128), (HEAD, HEAD)), clip.pictures, strict=True):
        assert view.size == size and pictures.alpha.shape == (3, size[1], size[0])
        for t, rgb, alpha in zip(clip.shown.tolist(), pictures.rgb, pictures.alpha, strict=True):
            assert psnr(rgb, shrunk(frames[t], view)) > 32
            assert psnr(alpha, shrunk(alphas[t], view)[..., 0]) > 38


def test_the_points_stand_on_the_person_and_the_face_in_the_close_up(packed: PackedFile) -> None:
    (clip,), (person,) = packed.clips, packed.people.values()
    whole, head = person.views
    face = clip.seen[clip.shown, :468]
    places = clip.points[clip.shown, :468]
    assert face.float().mean() > 0.5
    for t, (points, seen) in enumerate(zip(places, face, strict=True)):
        x, y = (points[seen] * (whole.size[0] / packed.size[0])).long().T.numpy()
        assert (clip.pictures[0].alpha[t][y, x] > 200).mean() > 0.98
        near = (points[seen].numpy() - [head.x, head.y]) / head.side
        assert ((near > 0) & (near < 1)).all()
    seen = clip.points[clip.seen].numpy()
    assert (seen >= 0).all() and (seen <= packed.size).all()
    assert np.nanmax(np.abs((person.rest_points - clip.points[0])[:468].numpy()[clip.seen[0, :468]])) < 20


def test_sound_and_lips_are_those_of_the_clip(talking_corpus: Corpus, packed: PackedFile) -> None:
    (clip,) = packed.clips
    n = len(clip.closed)
    assert n == 60 and len(clip.log_mel) == 4 * n and clip.innovations.shape == (n, 8)
    heard = load_audio(talking_corpus.path("speech", clip.name, "wav"))
    assert np.abs(clip.samples.numpy() / 32767 - heard[: len(clip.samples)]).max() < 1e-3
    with np.load(talking_corpus.path("truth", clip.name, "npz")) as truth:
        assert np.array_equal(clip.closed.numpy(), truth["lip_gap_mm"] <= 0)


def test_a_step_of_the_training_through_the_renderer_has_finite_losses(packed: PackedFile) -> None:
    cpu = torch.device("cpu")
    batches = RenderedBatches(packed, cpu)
    model = load_model().requires_grad_(True)
    objective = RenderedObjective(model, batches.people, packed.size, "all", cpu)
    terms = objective(batches.draw(1, 1, seed=0))
    assert set(terms) == {*objective.weights._fields}
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert total.isfinite() and gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "pack", str(tmp_path), "-o", str(tmp_path / "data.safetensors")]) == 3
    assert "E407" in capsys.readouterr().err


def shrunk(frame: np.ndarray, view: View) -> np.ndarray:
    """Mean of a view's part of a frame over the area of each pixel stored, [h, w, 3]."""
    x, y = int(view.x), int(view.y)
    part = frame[y : y + view.side[1], x : x + view.side[0]].astype(np.float32)
    for axis, (n, kept) in enumerate(zip(view.side[::-1], view.size[::-1], strict=True)):
        common = math.gcd(n, kept)
        fine = np.repeat(part, kept // common, axis)  # each pixel stored is a whole number of these
        part = np.moveaxis(fine, axis, 0).reshape(kept, n // common, *np.delete(fine.shape, axis)).mean(1)
        part = np.moveaxis(part, 0, axis)
    return part


def psnr(picture: np.ndarray, reference: np.ndarray) -> float:
    """dB."""
    error = np.mean((picture.astype(float) - reference.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))
