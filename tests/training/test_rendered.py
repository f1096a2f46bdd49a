"""Training through the renderer: what it learns, what it leaves alone, and how a killed run goes on."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest
import torch
from safetensors.torch import load_file

from media.errors import AvatarBenchError
from media.threads import one_torch_thread
from reference_model.body.template import load_template
from reference_model.deform import Rig
from reference_model.networks.model import WEIGHTS, load_model
from reference_model.networks.surface import rest_twists
from reference_model.networks.weights import read_metadata
from reference_model.training.markers import Markers, lip_opening
from reference_model.training.rendered import train_rendered
from reference_model.training.rendered_batches import RenderedBatches, step_seed
from reference_model.training.rendered_file import load_packed
from reference_model.training.rendered_objective import RenderedObjective
from reference_model.training.rendered_trainer import (
    MixedObjective,
    RenderedOptions,
    RenderedTrainer,
    make_accelerator,
)
from tests.training.rendered_people import SIZE, shipped, write_people

REPOSITORY = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_people(tmp_path_factory.mktemp("packed") / "people.safetensors")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The CPU renderer adds up gradients in the order in which its threads finish."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    with one_torch_thread():
        yield
    numba.set_num_threads(before)


def losses_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "losses.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_prepared_file_gives_back_what_was_written(data):
    packed = load_packed(data)
    assert packed.size == SIZE and set(packed.people) == {"one", "two"}
    assert [person.held_out for person in packed.people.values()] == [False, True]
    clip, person = packed.clips[0], packed.people["one"]
    known = person.rest_points.isfinite().all(-1)
    error = (clip.points - person.rest_points)[:, known].abs().max()
    assert error <= 0.5 / 32 + 1e-4
    assert clip.pictures[0].rgb.shape == (3, 64, 48, 3) and clip.pictures[1].alpha.shape == (3, 40, 40)
    assert packed.sha256 == load_packed(data).sha256


@pytest.mark.parametrize("damage", [b"", b"not a tensor"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(damage)
    with pytest.raises(AvatarBenchError) as caught:
        load_packed(path)
    assert caught.value.code == "E401" and "avatar corpus pack" in str(caught.value)


def test_pictures_train_appearance_and_leave_every_bit_of_the_motion(data, tmp_path):
    options = RenderedOptions(steps=10, clips=1, pictures=1, learning_rate=6e-2, warm_up=2, ema=0.5)
    figures = train_rendered(data, tmp_path, options, cpu=True)
    # The heads are brighter in the clips: a person that was not trained on gains from what was learned.
    assert figures["after_picture"] < 0.8 * figures["before_picture"]
    before, after = load_file(WEIGHTS), load_file(tmp_path / "weights.safetensors")
    changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert sorted(changed) == ["head.output.bias", "head.output.weight"]
    for name in changed:
        assert torch.equal(after[name][:3], before[name][:3])  # the offsets
        assert not torch.equal(after[name][3:], before[name][3:])
    assert read_metadata(tmp_path / "weights.safetensors", "AvatarModel")["options"]["steps"] == 10
    load_model(tmp_path / "weights.safetensors")
    sheets = sorted(path.name for path in tmp_path.glob("sheet_*.png"))
    assert sheets == ["sheet_00010.png"]
    assert (tmp_path / "validation.mp4").stat().st_size > 1000
    assert len(losses_of(tmp_path)) == 10


def trainer(data: Path, folder: Path, scope, resume: bool = False) -> RenderedTrainer:
    folder.mkdir(exist_ok=True)
    packed = load_packed(data)
    options = RenderedOptions(
        scope=scope, steps=4, clips=1, pictures=1, warm_up=1, checkpoint_every=2, learning_rate=1e-3
    )
    batches = RenderedBatches(packed, CPU)
    rendered = RenderedObjective(shipped(), batches.people, packed.size, scope, CPU)
    return RenderedTrainer(
        MixedObjective(rendered, None, 1.0), batches, None, options, folder, make_accelerator(cpu=True), resume
    )  # fmt: skip


def parameters(of: RenderedTrainer) -> list[torch.Tensor]:
    with of.averaged_weights():
        return [p.detach().clone() for p in of._parameters]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("scope", ["appearance", "all"])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(data, tmp_path, scope):
    undisturbed = trainer(data, tmp_path / "whole", scope)
    assert len(list(undisturbed.run())) == 4

    killed = trainer(data, tmp_path / "killed", scope).run()
    for _ in range(3):  # the checkpoint is of step 2; the third step is lost
        next(killed)
    killed.close()
    resumed = trainer(data, tmp_path / "killed", scope, resume=True)
    assert resumed.step == 2
    assert len(list(resumed.run())) == 2

    assert losses_of(tmp_path / "killed") == losses_of(tmp_path / "whole")
    for found, expected in zip(parameters(resumed), parameters(undisturbed), strict=True):
        assert torch.equal(found, expected)


def test_a_run_of_other_options_is_not_gone_on_with(data, tmp_path):
    with pytest.raises(AvatarBenchError) as caught:
        train_rendered(data, tmp_path, RenderedOptions(), cpu=True, resume=True)
    assert caught.value.code == "E504"
    torch.save({"options": {"steps": 7}, "step": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(AvatarBenchError, match="steps=7"):
        train_rendered(data, tmp_path, RenderedOptions(), cpu=True, resume=True)


def test_pixels_and_points_reach_the_ears(data):
    """With the whole model in scope the gradient goes through renderer, rig and deformer to the sound."""
    packed = load_packed(data)
    batches = RenderedBatches(packed, CPU)
    objective = RenderedObjective(shipped(), batches.people, packed.size, "all", CPU)
    terms = objective(batches.draw(1, 1, seed=0))
    assert set(terms) == {*objective.weights._fields}
    convolution = objective.model.audio.to_50_hz.weight
    for name in ("picture", "perceptual", "mask", "face", "hand", "gap", "jerk", "spectrum"):
        (gradient,) = torch.autograd.grad(terms[name], convolution, retain_graph=True)
        assert gradient.isfinite().all() and gradient.any(), name
    output = objective.model.head.output.weight
    for name in ("arap", "appearance", "asap"):
        (gradient,) = torch.autograd.grad(terms[name], output, retain_graph=True)
        assert gradient.isfinite().all(), name


def test_steps_draw_what_their_number_says(data):
    batches = RenderedBatches(load_packed(data), CPU)
    first, again, other = (batches.draw(2, 2, step_seed(0, step, 0)) for step in (5, 5, 6))
    assert torch.equal(first.mel, again.mel) and torch.equal(first.shown, again.shown)
    assert not torch.equal(first.mel, other.mel)
    assert step_seed(0, 5, 0) != step_seed(0, 5, 1) != step_seed(1, 5, 1)


def test_the_opening_of_the_lips_follows_the_jaw(data):
    """Lowering the particles of the lower lip opens the projected gap; turning the head does not."""
    packed = load_packed(data)
    avatar = packed.people["one"].avatar
    rig = Rig(avatar)
    markers = Markers(avatar, rig)
    states = torch.zeros(3, rig.n_particles, 6)
    template = load_template()
    actions = torch.zeros(len(template.actions))
    actions[template.action("jawOpen")] = 0.5
    states[1] = rest_twists(actions)
    states[2, template.joint("head"), :3] = torch.tensor([0.0, 0.0, 0.3])
    shut, opened, turned = lip_opening(markers.project(states, avatar.camera)[:, :468]).tolist()
    assert opened - shut > 0.05
    assert abs(turned - shut) < 0.01


def test_two_processes_train_one_model(data, tmp_path):
    """Gradients are averaged over the processes, which see different clips: one set of weights comes out."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "-m", "reference_model.cli", "train", "--data", str(data), "-o", str(tmp_path / "out"),
        "--steps", "2", "--clips", "1", "--pictures", "1", "--cpu",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = read_metadata(tmp_path / "out" / "weights.safetensors", "AvatarModel")
    assert document["options"]["processes"] == 2
    assert len(losses_of(tmp_path / "out")) == 2
