"""What each module of the model is worth to the pictures: left out, by how many dB do they change?

`switch_effects` does the same for six switches of the paper's Table 3, on an avatar made of a photograph.

The change is the PSNR between the pictures of the whole model and those without the module, over the same speech, noise
and view: a small number is a large change. What no weights use yet is listed by name as untrained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from media.threads import one_torch_thread
from reference_model.animate import Animator, FrameView
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.io import Avatar
from reference_model.avatar.optimise import Canvas
from reference_model.avatar.personalize import ITERATIONS, fit_photo, one_thread
from reference_model.body.particles import GROUPS, load_particles
from reference_model.body.template import REGIONS
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.deform import Rig
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import BASE, MINI_TEXT, AvatarModel, ModelConfig
from reference_model.reconstruction.head_encoder import FusionHead
from reference_model.reconstruction.reconstruction_file import load_canvas_network
from reference_model.reconstruction.reconstructor import BASE as RECONSTRUCTION_BASE
from reference_model.reconstruction.reconstructor import Reconstructor
from reference_model.sound_stream import FPS

__all__ = ["ModuleEffect", "module_effects", "switch_effects", "text_effect", "untrained_modules"]

_EVERY = 5  # pictures: five a second are enough for a mean over an utterance
_HAND_REGIONS = [REGIONS.index(name) for name in ("hand_left", "hand_right")]

Motion = tuple[Tensor, Residuals]


class ModuleEffect(NamedTuple):
    """One row of the report."""

    name: str
    source: str
    """Equation of the paper, or "rule" for what has no parameters."""
    parameters: int
    psnr_db: float
    """Of the pictures without it against those of the whole model; infinite when nothing changes."""


def module_effects(
    avatar: Avatar, model: AvatarModel, samples: np.ndarray, size: tuple[int, int], seed: int = 0
) -> Iterator[ModuleEffect]:
    """Leave out one module after the other.

    Args:
        avatar: Whom to look at.
        model: Trained networks.
        samples: Speech at 16 kHz, [S] float32.
        size: Width and height of the pictures, px.
        seed: Performance.

    Yields:
        The effects, in the order of the data's way through the model.
    """
    animator = Animator(avatar, model)
    view = FrameView(avatar, animator.camera(size))
    rig = animator.context.rig

    def motion(of: Animator) -> list[Motion]:
        return list(of.motion(samples, seed=seed))[::_EVERY]

    def pictures(rig: Rig, moved: Sequence[Motion]) -> list[np.ndarray]:
        with one_torch_thread():
            return [view.draw(rig.apply(states, residuals)).rgb for states, residuals in moved]

    whole = motion(animator)
    expected = pictures(rig, whole)
    for name, source, parts, leave_out in _networks():
        edited = copy.deepcopy(model)
        leave_out(edited)
        found = pictures(rig, motion(Animator(avatar, edited)))
        yield ModuleEffect(name, source, _count(parts(model)), _psnr_db(found, expected))
    for name, source, parts, without in _outputs(rig):
        found = pictures(rig, [without(states, residuals) for states, residuals in whole])
        yield ModuleEffect(name, source, _count(parts(model)), _psnr_db(found, expected))
    rigid = copy.copy(rig)
    rigid.widened = lambda scales, growth: scales.clone()  # the residuals multiply it in place
    yield ModuleEffect("widening of unfolding skin", "rule", 0, _psnr_db(pictures(rigid, whole), expected))


def text_effect(
    avatar: Avatar,
    model: AvatarModel,
    spoken: Utterance,
    size: tuple[int, int],
    seed: int = 0,
) -> ModuleEffect:
    """A spoken text with its phonemes, and by its sound alone.

    Args:
        avatar: Whom to look at.
        model: A model that reads phonemes.
        spoken: Sound, and the times of its phonemes.
        size: Width and height of the pictures, px.
        seed: Performance.
    """
    assert model.text is not None
    animator = Animator(avatar, model)
    view, rig = FrameView(avatar, animator.camera(size)), animator.context.rig
    read, heard = (
        [
            view.draw(rig.apply(states, residuals)).rgb
            for states, residuals in list(animator.motion(spoken.samples, seed=seed, text=text))[::_EVERY]
        ]
        for text in (model.text.encode(spoken.phonemes, FPS), None)
    )
    parts = [model.text, model.audio.fusion]
    return ModuleEffect("phoneme encoder, fusion", "D_t", _count(parts), _psnr_db(heard, read))


def switch_effects(
    image: np.ndarray, model: AvatarModel, samples: np.ndarray, size: tuple[int, int], seed: int = 0
) -> Iterator[ModuleEffect]:
    """Make an avatar by the reconstruction `mini`, and turn off one switch of Table 3 after the other.

    Args:
        image: Photograph, [H, W, 3] uint8.
        model: Trained deformer.
        samples: Speech at 16 kHz, [S] float32.
        size: Width and height of the pictures, px.
        seed: Of avatar and performance.

    Yields:
        The effects, in the order of the table.
    """

    def optimised(canvas: Canvas) -> Gaussians:
        return fitted.optimised(canvas, ITERATIONS["forward"], seed, lambda done: None)

    with one_thread():
        fitted = fit_photo(image, seed=seed)
        corrected, skin = fitted.forward()
        avatar = fitted.avatar(optimised(corrected), {}, skin)
        no_hands, their_skin = fitted.forward(hand_enhance=False)
        without_hands = fitted.avatar(optimised(no_hands), {}, their_skin)
    animator = Animator(avatar, model)
    moved: list[Motion] = list(animator.motion(samples, seed=seed))[::_EVERY]
    camera, rig = animator.camera(size), animator.context.rig

    def pictures(of: Avatar, moved: list[Motion]) -> list[np.ndarray]:
        view, its_rig = FrameView(of, camera), rig if of is avatar else Rig(of)
        with one_torch_thread():
            return [view.draw(its_rig.apply(states, residuals)).rgb for states, residuals in moved]

    expected = pictures(avatar, moved)
    network = load_canvas_network().reconstructor
    hand_parts = [part for name, part in network.named_parameters() if ".hand." in name]
    assert network.weights is not None
    people: list[tuple[str, list[nn.Module | Tensor], Avatar]] = [
        ("fine-tuned Gaussian decoder", [network.decoder], fitted.avatar(corrected.gaussians(), {}, skin)),
        ("hand enhancement", [*hand_parts], without_hands),
        ("weight decoder", [network.weights], replace(avatar, skin=None)),
    ]
    for name, parts, other in people:
        yield ModuleEffect(
            f"w/o {name}", "Table 3", _count(parts), _psnr_db(pictures(other, moved), expected)
        )
    ours = {
        "implicit motion tokens": "local particles (level 1)",
        "hand gesture offsets": "hand residuals",
        "face expression offsets": "face residuals",
    }
    outputs = {name: (parts, without) for name, _, parts, without in _outputs(rig)}
    for name, module in ours.items():
        parts, without = outputs[module]
        found = pictures(avatar, [without(states, residuals) for states, residuals in moved])
        yield ModuleEffect(f"w/o {name}", "Table 3", _count(parts(model)), _psnr_db(found, expected))


def untrained_modules(model: AvatarModel) -> list[str]:
    """What no weights use yet: modules that `model` lacks, and outputs whose last layer is still zero."""
    names = [
        f"residual {name} (equation 5 to 8)" for name, rows in _HEAD_ROWS.items() if _is_zero(model, rows)
    ]
    present = {name for name, _ in model.named_modules()}
    presets: tuple[tuple[str, ModelConfig], ...] = (("mini with text", MINI_TEXT), ("base", BASE))
    for preset, config in presets:
        with torch.device("meta"):
            modules = {name: child for name, child in _parts(config)}
        for name, module in modules.items():
            if name not in present or config.audio != model.config.audio:
                names.append(f"{name} of {preset}: {type(module).__name__}, {_count([module]):,} parameters")
    return names + [
        f"{name} of reconstruction base (section 3.1): {_count([module]):,} parameters"
        for name, module in _reconstruction_parts()
    ]


def _reconstruction_parts() -> Iterator[tuple[str, nn.Module]]:
    """The parts of section 3.1 at the paper's scale; only `mini` is trained."""
    with torch.device("meta"):
        model = Reconstructor()
        fusion = FusionHead(RECONSTRUCTION_BASE.dim_head, RECONSTRUCTION_BASE.dim_head)
    yield "fusion of DINOv2's layers", fusion
    names = {
        "point_embedding": "point embedding",
        "condition": "modulation of the norms",
        "transformer": "Hand++ Body-Head transformer",
        "decoder": "Gaussian decoder",
        "weights": "weight decoder",
    }
    for name, module in model.named_children():
        yield names[name], module


def _parts(config: ModelConfig) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a preset that weights are trained for."""
    model = AvatarModel(config)
    yield from model.named_children()
    if model.audio.fusion is not None and config.audio == "mel":
        yield "audio.fusion", model.audio.fusion


_HEAD_ROWS = {"offset": slice(0, 3), "log-scale": slice(3, 6), "opacity": slice(6, 7), "colour": slice(7, 10)}


def _is_zero(model: AvatarModel, rows: slice) -> bool:
    layer = model.head.output
    return not bool(layer.weight[rows].any() or layer.bias[rows].any())


def _count(parts: Sequence[nn.Module | Tensor]) -> int:
    return sum(
        part.numel() if isinstance(part, Tensor) else sum(p.numel() for p in part.parameters())
        for part in parts
    )


def _psnr_db(pictures: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    errors = [(a.astype(np.float64) - b) ** 2 for a, b in zip(pictures, expected, strict=True)]
    mean = float(np.mean(errors))
    return math.inf if mean == 0 else 10 * math.log10(255**2 / mean)


def _silence(*layers: nn.Module | Tensor) -> None:
    """Set all parameters of layers to zero, so that they give zero."""
    for layer in layers:
        for parameter in [layer] if isinstance(layer, Tensor) else layer.parameters():
            parameter.data.zero_()


_Parts = Callable[[AvatarModel], list[nn.Module | Tensor]]


def _networks() -> list[tuple[str, str, _Parts, Callable[[AvatarModel], None]]]:
    """Name, source, what it consists of, and how a copy of the model loses it."""

    def last_of(module: nn.Module) -> nn.Module:
        return list(module.children())[-1]

    def no_driving(m: AvatarModel) -> None:
        _silence(m.particles.from_driving, m.head.key, m.head.value)

    return [
        ("audio encoder, D_t", "A_t", lambda m: [m.audio], no_driving),
        (
            "its hearing",
            "A_t",
            lambda m: [m.audio.to_50_hz, m.audio.residual, m.audio.to_25_hz],  # type: ignore[union-attr]
            lambda m: _silence(m.audio.to_25_hz),  # type: ignore[union-attr]
        ),
        (
            "its innovations",
            "ours",
            lambda m: [m.audio.innovations],
            lambda m: _silence(last_of(m.audio.innovations)),
        ),
        (
            "person tokens Q",
            "1",
            lambda m: [m.particles.person],
            lambda m: _silence(last_of(m.particles.person)),
        ),
        (
            "motion attention",
            "1, 2",
            lambda m: [m.particles.key_value, m.particles.query, m.particles.attended],
            lambda m: _silence(m.particles.attended),
        ),
        (
            "motion feed-forward",
            "2",
            lambda m: [m.particles.feedforward],
            lambda m: _silence(last_of(m.particles.feedforward)),
        ),
        (
            "expression of the photo",
            "ours",
            lambda m: [m.particles.rest, m.particles.undo],
            lambda m: _silence(last_of(m.particles.rest), m.particles.undo),
        ),
        (
            "twists, all particles",
            "3",
            lambda m: [m.particles],
            lambda m: _silence(m.particles.twist, m.particles.undo),
        ),
    ]


def _outputs(rig: Rig) -> list[tuple[str, str, _Parts, Callable[[Tensor, Residuals], Motion]]]:
    """As `_networks`, for what can be taken out of the outputs: groups of particles and residuals."""
    particles = load_particles()
    region = torch.from_numpy(rig.points.region)[rig.head_rows]
    hands = torch.isin(region, torch.tensor(_HAND_REGIONS))
    group, joint = torch.from_numpy(particles.group), torch.arange(rig.n_particles) < particles.n_joints

    def still(rows: Tensor) -> Callable[[Tensor, Residuals], Motion]:
        return lambda states, residuals: (states.masked_fill(rows[:, None], 0.0), residuals)

    def uncorrected(rows: Tensor) -> Callable[[Tensor, Residuals], Motion]:
        return lambda states, residuals: (
            states,
            Residuals(*(part.masked_fill(rows.view(-1, *[1] * (part.ndim - 1)), 0.0) for part in residuals)),
        )

    def without(field: str) -> Callable[[Tensor, Residuals], Motion]:
        return lambda states, residuals: (
            states,
            residuals._replace(**{field: torch.zeros_like(getattr(residuals, field))}),
        )

    def embedding(rows: Tensor) -> _Parts:
        return lambda m: [m.particles.embedding[rows]]

    sets = [("joint particles (level 0)", joint), ("local particles (level 1)", ~joint)]
    sets += [(f"particles: {name.replace('_', ' ')}", group == index) for index, name in enumerate(GROUPS)]
    rows = [(name, "3", embedding(members), still(members)) for name, members in sets]
    rows += [
        ("Gaussian head", "4 to 8", lambda m: [m.head], uncorrected(torch.ones_like(hands))),
        ("face residuals", "4 to 8", lambda m: [], uncorrected(~hands)),
        ("hand residuals", "4 to 8", lambda m: [], uncorrected(hands)),
    ]
    fields = zip(Residuals._fields, _HEAD_ROWS, strict=True)
    rows += [
        (
            f"residual {name}",
            "5 to 8",
            lambda m, name=name: [m.head.output.weight[_HEAD_ROWS[name]]],
            without(field),
        )
        for field, name in fields
    ]
    return rows
