"""Training of the reconstruction `mini` on two made people, small enough for the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from reference_model.avatar import forward
from reference_model.avatar.personalize import one_thread
from reference_model.body.template import load_template
from reference_model.corpus.people.person import save_person
from reference_model.reconstruction.canvas_network import CanvasNetwork
from reference_model.training import reconstruction_samples
from reference_model.training.reconstruction import Options, batch_loss, held_out_psnr, train
from reference_model.training.reconstruction_batch import collate
from reference_model.training.reconstruction_people import people_files
from reference_model.training.reconstruction_samples import OTHER, PHOTO, Sample, draw_samples
from tests.corpus.sample_people import SOMEONE, mean_body, sample_look
from tests.reconstruction.test_canvas_network import tiny_network

N_PEOPLE = 2


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("people")
    size = (96, 128)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "BODY_SIZE", size)
        patch.setattr(reconstruction_samples, "BODY_SIZE", size)
        patch.setattr(reconstruction_samples, "_PHOTO_SIZE", (192, 256))
        patch.setattr(reconstruction_samples, "_GAUSSIANS", (1500, 2500))
        for index, sex in enumerate(("male", "female")):
            look = sample_look(dataclasses.replace(SOMEONE, sex=sex), index)
            save_person(folder / f"{index}.npz", look, mean_body(), index)
            drawn += draw_samples(folder / f"{index}.npz", tiny_network(), index, 1)
    return drawn


def test_a_sample_shows_the_photograph_its_details_two_sides_and_another_pose(samples):
    for sample in samples:
        photo, *_, other = sample.targets
        assert len(sample.targets) == OTHER + 1
        assert photo.rgb.shape == other.rgb.shape == (128, 96, 3)
        covered = photo.alpha.float().mean() / 255
        assert 0.15 < covered < 0.9
        still = torch.eye(4)[:3].expand_as(sample.motion)
        template = load_template()
        assert float((sample.motion - still)[template.joint("wrist.L")].abs().max()) > 0.02
        assert torch.allclose(sample.motion[template.joint("root")], still[0], atol=1e-4)


def test_padding_draws_nothing(samples):
    """Two samples of unequal length: each view is what it is alone."""
    network = tiny_network()
    batch = collate(samples)
    assert batch.real.sum(1).tolist() == [len(sample.region) for sample in samples]
    grey = torch.tensor([0.5, 0.5])
    together = batch_loss(batch, network(batch.photo), grey)
    alone = [batch_loss(one, network(one.photo), grey[:1]) for one in (collate([s]) for s in samples)]
    assert float(together) == pytest.approx(float(sum(alone)) / len(alone), rel=1e-3)


def test_training_improves_the_people_it_sees_and_opens_the_hand_branch(samples):
    network: CanvasNetwork = tiny_network()
    before = held_out_psnr(network, samples)
    assert before["photo"][0] == pytest.approx(before["photo"][1], abs=1e-3)  # untrained: the canvas
    losses = train(network, samples, Options(steps=12, batch=2))
    after = held_out_psnr(network, samples)
    assert len(losses) == 12
    assert after["photo"][1] > after["photo"][0] + 0.05
    assert after["photo"][0] == pytest.approx(before["photo"][0], abs=1e-4)
    gates = [value for name, value in network.named_parameters() if name.endswith("hand.gate")]
    assert all(bool(gate.abs().max() > 0) for gate in gates)
    assert samples[0].targets[PHOTO].weight == 1.0


def test_files_of_people_that_stand_are_not_made_again(tmp_path: Path):
    names = [f"train-{N_PEOPLE}-0-{i:03d}.npz" for i in range(N_PEOPLE)] + ["heldout-1-0-000.npz"]
    for name in names:
        (tmp_path / name).write_bytes(b"kept")
    learn, held_out = people_files(tmp_path, N_PEOPLE)
    assert [path.name for path in learn + held_out] == names
    assert all(path.read_bytes() == b"kept" for path in learn + held_out)
