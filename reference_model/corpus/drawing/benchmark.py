"""Measure the drawing: `python -m reference_model.corpus.drawing.benchmark --person FILE.npz ... --out DIR`.

Draws a swaying, talking motion of each person on the CPU and, with `--device cuda`, on the GPU; prints seconds by
stage, frames per second and the difference of the pictures, and writes both side by side.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from media.files import atomic_write
from reference_model.corpus.drawing.draw import Shot, draw_frames_cpu
from reference_model.corpus.drawing.scene import LIGHT_RIGS, develop, frontal_view
from reference_model.corpus.motion.animator import Motion, absolute_rotations
from reference_model.corpus.people.person import MadePerson, load_person

__all__ = ["main", "sway"]

_log = logging.getLogger(__name__)

WIDTH, HEIGHT = 384, 512
_FPS = 25
_VISIBLE_HEIGHT = 0.98  # metres


def sway(person: MadePerson, n_frames: int) -> Shot:
    """A shot whose jaw opens and closes while head and arms swing, before a grey wall."""
    template = person.template
    phase = 2 * np.pi * np.arange(n_frames) / _FPS
    actions = np.zeros((n_frames, len(template.action_names)), np.float32)
    actions[:, template.action("jawOpen")] = 0.25 + 0.25 * np.sin(4 * phase)
    actions[:, template.action("eyeBlinkLeft")] = np.maximum(0, np.sin(phase)) ** 8
    rotations = np.zeros((n_frames, template.n_joints, 3), np.float32)
    rotations[:, template.joint("head"), 2] = 0.12 * np.sin(0.8 * phase)
    for side, sign in (("L", 1), ("R", -1)):
        rotations[:, template.joint(f"lowerarm01.{side}"), 0] = 0.25 * np.sin(0.9 * phase + sign)
        rotations[:, template.joint(f"upperarm01.{side}"), 2] = 0.10 * sign * np.sin(0.7 * phase)
    target = np.array([0.0, -0.05, person.joints[template.joint("head"), 2] + 0.22 - _VISIBLE_HEIGHT / 2])
    view = frontal_view(target, _VISIBLE_HEIGHT, WIDTH, HEIGHT)
    wall = np.full((HEIGHT, WIDTH, 3), 0.25, np.float32)
    return Shot(
        actions, absolute_rotations(person.rest_pose, Motion(actions, rotations)), view, "studio", wall, 0.6
    )


def cpu_stages(person: MadePerson, shot: Shot) -> dict[str, float]:
    """Seconds of one frame on the CPU by stage, after a first frame that compiles."""
    figure, rig = person.figure, LIGHT_RIGS[shot.rig]
    marks: list[float] = []
    for _ in range(2):
        marks = [time.perf_counter()]
        posed = figure.pose(shot.actions[0], shot.rotations[0], shot.view.centre)
        marks.append(time.perf_counter())
        light = figure.visibility(posed, rig)
        marks.append(time.perf_counter())
        radiance = figure.render(posed, light, shot.view, rig)
        marks.append(time.perf_counter())
        develop(radiance, shot.background, shot.exposure)
        marks.append(time.perf_counter())
    stages: tuple[str, ...] = ("pose", "light", "draw", "develop")
    return {stage: end - start for stage, start, end in zip(stages, marks, marks[1:], strict=False)}


def _report(name: str, seconds: dict[str, float], n_frames: int) -> None:
    stages = ", ".join(f"{stage} {1000 * value / n_frames:.2f}" for stage, value in seconds.items())
    total = sum(seconds.values())
    _log.info("%s: %.1f frames/s; ms a frame: %s", name, n_frames / total, stages)


def compare(person: MadePerson, n_frames: int, n_cpu: int, out: Path, name: str) -> None:
    """Draw on the GPU twice (the first time compiles), the first frames on the CPU as well, and compare."""
    from reference_model.corpus.drawing.draw_cuda import StageClock, draw_frames_cuda

    shot = sway(person, n_frames)
    for _ in range(2):
        clock = StageClock(torch.device("cuda"))
        gpu = list(draw_frames_cuda(person.figure, shot, clock=clock))
    _report(f"{name} cuda by stage", dict(clock.seconds), n_frames)
    started = time.perf_counter()
    again = list(draw_frames_cuda(person.figure, shot))
    _log.info("%s cuda without marks: %.1f frames/s", name, n_frames / (time.perf_counter() - started))
    same = all(
        np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(gpu, again, strict=True)
    )
    _log.info("%s cuda twice: %s", name, "equal bytes" if same else "DIFFERENT bytes")
    cpu = []
    for frame in draw_frames_cpu(person.figure, shot):
        cpu.append(frame)
        if len(cpu) == n_cpu:
            break
    difference = np.stack([np.abs(a[0].astype(int) - b[0]) for a, b in zip(cpu, gpu, strict=False)])
    alpha = np.stack([np.abs(a[1].astype(int) - b[1]) for a, b in zip(cpu, gpu, strict=False)])
    _log.info(
        "%s cuda against cpu over %d frames: within 2/255 %.5f, mean %.4f, largest %d; alpha mean %.4f, largest %d",
        name, n_cpu, (difference <= 2).mean(), difference.mean(), difference.max(), alpha.mean(), alpha.max(),
    )  # fmt: skip
    last = n_cpu - 1
    enlarged = np.minimum(difference[last] * 20, 255).astype(np.uint8)
    sheet = np.concatenate([cpu[last][0], gpu[last][0], enlarged], 1)
    with atomic_write(out / f"{name}.png") as path:
        path.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def main(arguments: list[str] | None = None) -> int:
    """Measure from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--person", type=Path, nargs="+", required=True, help="files of people.save_person")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--frames", type=int, default=110, help="frames to draw on the GPU")
    parser.add_argument("--cpu-frames", type=int, default=11, help="frames to draw on the CPU")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(1)  # beside numba, several torch threads are slower on a few cores
    for path in options.person:
        started = time.perf_counter()
        person = load_person(path)
        figure = person.figure
        _log.info(
            "%s: built in %.1f s, %d vertices, %d triangles",
            path.stem, time.perf_counter() - started, figure.starts[-1], len(figure.faces),
        )  # fmt: skip
        _report(f"{path.stem} cpu by stage", cpu_stages(person, sway(person, 1)), 1)
        if options.device == "cuda":
            compare(person, options.frames, min(options.cpu_frames, options.frames), options.out, path.stem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
