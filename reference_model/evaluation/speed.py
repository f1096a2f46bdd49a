"""Speed from sound to pictures: `python -m reference_model.evaluation.speed person.avatar speech.wav --device cuda`.

Prints the arithmetic of a frame by module, frames a second in batches, the time of a live step, what each stage takes,
memory, and the ratio to the plain path (float32, one frame after the other, no graphs) in the same
run; and how far the pictures are from those of the CPU. Encoding is no part of it.
"""

from __future__ import annotations

import itertools
import math
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numba
import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from media.audio import SAMPLE_RATE, load_audio
from media.files import atomic_write
from reference_model.animate import BATCH_FRAMES, Animator
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.io import load_avatar
from reference_model.cli import parse_size
from reference_model.frame_view import BatchView, FrameView, Pictures
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import AvatarContext, AvatarModel
from reference_model.render.camera import Camera
from reference_model.sound_stream import SAMPLES_PER_FRAME, STRETCH_FRAMES, SoundStream

__all__ = [
    "Steps",
    "batch_rate",
    "frame_flops",
    "live_steps",
    "plain_rate",
    "psnr_db",
    "rest_is_exact",
    "stages",
]

_WARM_UP_STEPS = 50
_FIRST_COMPARED, _COMPARED = 150, 50  # frames: past a stretch of the GPU, so that its graphs are in use


class Steps(NamedTuple):
    """Milliseconds of a live step."""

    p50_ms: float
    p99_ms: float


@torch.no_grad()
def frame_flops(model: AvatarModel, context: AvatarContext) -> dict[str, float]:
    """GFLOP of one picture by module of a model on the CPU, one multiplication and one addition counted as two."""
    counts: dict[str, float] = {}

    def count(name: str, call: Callable[[], object], frames: int) -> None:
        # Fused attention has no formula there; written out it has.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            call()
        counts[name] = counter.get_total_flops() / frames / 1e9

    n, dim, past = STRETCH_FRAMES, model.config.dim_driving, model.config.window_past
    mel, noise = torch.zeros(1, 4 * n, 80), torch.zeros(1, n, 8)
    count("audio encoder", lambda: model.audio(mel, noise), n)
    driving = torch.zeros(1, n, dim)
    count("particle deformer", lambda: model.particles.proposals(driving, context.static), n)
    count("Gaussian head", lambda: model.head(driving[:, : past + 1], context.points, context.region), 1)
    return counts


def batch_rate(animator: Animator, sound: np.ndarray, camera: Camera) -> float:
    """Frames a second from a sound to uint8 pictures on the animator's device, after a run that compiles."""

    def run() -> int:
        return sum(len(batch.rgb) for batch in animator.pictures(sound, camera=camera))

    run()
    _wait(animator)
    began = time.perf_counter()
    n_frames = run()
    _wait(animator)
    return n_frames / (time.perf_counter() - began)


def plain_rate(animator: Animator, sound: np.ndarray, camera: Camera) -> float:
    """As `batch_rate` for what the other paths are measured against: float32, frame by frame, no CUDA graphs."""
    view, context, model = animator.view(camera), animator.context, animator.model
    lower, model.use_bfloat16 = model.use_bfloat16, False

    def run(blocks: Sequence[np.ndarray]) -> int:
        stream, memory, n_frames = SoundStream(), None, 0
        for block in blocks:
            stretch = stream.push(block)
            heard, noise = stretch.heard.to(animator.device), stretch.innovations.to(animator.device)
            states, residuals, memory = model.advance(context, heard, noise, memory, last=False)
            for t in range(len(states)):
                moved = context.rig.apply(states[t, None], Residuals(*(part[t, None] for part in residuals)))
                _show(view, moved)
                n_frames += 1
        _wait(animator)
        return n_frames

    blocks = _blocks(sound)
    run(blocks[:10])
    began = time.perf_counter()
    n_frames = run(blocks)
    model.use_bfloat16 = lower
    return n_frames / (time.perf_counter() - began)


def live_steps(animator: Animator, sound: np.ndarray, camera: Camera) -> Steps:
    """Time of `Animator.step`, from 40 ms of sound to one picture in the host's memory."""
    animator.start(camera=camera)
    times = []
    for index, block in enumerate(_blocks(sound)):
        began = time.perf_counter()
        animator.step(block)
        if index >= _WARM_UP_STEPS:
            times.append(1e3 * (time.perf_counter() - began))
    animator.finish()
    return Steps(*(float(np.percentile(times, share)) for share in (50, 99)))


@torch.no_grad()
def stages(animator: Animator, sound: np.ndarray, camera: Camera, frames: int) -> dict[str, float]:
    """Milliseconds a frame of each stage alone, the device waited for after each, in stretches of `frames`."""
    model, context, view = animator.model, animator.context, animator.view(camera)
    total: dict[str, float] = {}
    began = 0.0

    def start() -> None:
        nonlocal began
        _wait(animator)
        began = time.perf_counter()

    def stop(name: str, counted: bool) -> None:
        _wait(animator)
        if counted:
            total[name] = total.get(name, 0.0) + 1e3 * (time.perf_counter() - began)

    stream, encoder, n_frames = SoundStream(), None, 0
    size = frames * SAMPLES_PER_FRAME
    past = torch.zeros(1, model.config.window_past, model.config.dim_driving, device=animator.device)
    for index, at in enumerate(range(0, len(sound) - size + 1, size)):
        counted = index > 1
        start()
        heard, noise, _ = stream.push(sound[at : at + size])
        heard, noise = heard.to(animator.device), noise.to(animator.device)
        stop("mel frames and noise", counted)
        start()
        driving, encoder = model.audio(heard[None], noise[None], encoder, last=False)
        stop("audio encoder", counted)
        if not driving.shape[1]:
            continue
        window = torch.cat([past, driving], 1)
        past = window[:, driving.shape[1] :]
        start()
        with model.lower_precision():
            proposals = model.particles.proposals(driving, context.static)
        states = model.particles.clamp(model.particles.integrate(model.particles.twists(proposals)))[0]
        stop("particle deformer", counted)
        start()
        head = model.head if driving.is_cuda else model.head.frame_by_frame
        with model.lower_precision():
            residuals = head(window, context.points, context.region)
        residuals = Residuals(*(part[0] for part in residuals))
        stop("Gaussian head", counted)
        start()
        moved = context.rig.apply(states, residuals)
        stop("rig", counted)
        start()
        _show(view, moved)
        stop("renderer, to uint8", counted)
        n_frames += len(states) if counted else 0
    return {name: value / n_frames for name, value in total.items()}


def psnr_db(pictures: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> tuple[float, int, float]:
    """PSNR over all pictures, the largest difference, and the share of values that differ by more than 2."""
    squares, largest, more, count = 0.0, 0, 0, 0
    for one, other in zip(pictures, expected, strict=True):
        difference = np.abs(one.astype(np.int32) - other)
        squares += float((difference.astype(np.int64) ** 2).sum())
        largest = max(largest, int(difference.max()))
        more += int((difference > 2).sum())
        count += difference.size
    return (10 * math.log10(255**2 * count / squares) if squares else math.inf), largest, more / count


@torch.no_grad()
def rest_is_exact(animator: Animator, camera: Camera) -> bool:
    """Whether zero states and residuals draw the fitted Gaussians' own picture, byte by byte."""
    rig, view = animator.context.rig, animator.view(camera)
    n = len(rig.head_rows)
    shapes = ((n, 3), (n, 3), (n,), (n, 3))
    states = torch.zeros(1, rig.n_particles, 6, device=animator.device)
    residuals = [torch.zeros(1, *shape, device=animator.device) for shape in shapes]
    moved = rig.apply(states, Residuals(*residuals))
    own = animator.avatar.gaussians.to(animator.device).expand((1,))
    one, other = _show(view, moved), _show(view, own)
    return torch.equal(one.rgb, other.rgb) and torch.equal(one.alpha, other.alpha)


def main(
    avatar_file: Annotated[Path, typer.Argument(help="An .avatar file.")],
    speech: Annotated[Path, typer.Argument(help="Speech, repeated as often as is needed.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    size: Annotated[str, typer.Option(help="Width x height of the pictures.")] = "384x512",
    seconds: Annotated[int, typer.Option(min=10, help="Length of the sound that is driven.")] = 20,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG: CPU, device and 20 times their difference.")
    ] = None,
) -> None:
    """Measure speed on one device and print it."""
    console = Console(width=120)
    avatar = load_avatar(avatar_file)
    camera = avatar.camera.resized(*parse_size(size))
    speech_once = load_audio(speech)
    sound = np.resize(speech_once, seconds * SAMPLE_RATE)
    on_cpu = Animator(avatar)
    animator = Animator(avatar, device=device) if device != "cpu" else on_cpu
    name = torch.cuda.get_device_name() if device == "cuda" else f"{numba.get_num_threads()} threads"
    console.print(f"{device} ({name}), {camera.width}x{camera.height}, {len(avatar):,} Gaussians")

    flops = frame_flops(on_cpu.model, on_cpu.context)
    table = Table("module", "GFLOP a frame", title="arithmetic of the networks")
    for module, value in [*flops.items(), ("in all", sum(flops.values()))]:
        table.add_row(module, f"{value:.4f}")
    console.print(table)

    table = Table("what", "value", title="speed")
    rate, plain = batch_rate(animator, sound, camera), plain_rate(animator, sound[: 10 * SAMPLE_RATE], camera)
    table.add_row("frames a second, whole sound", f"{rate:,.1f}")
    table.add_row("plain path, float32, one by one", f"{plain:,.1f} (ratio {rate / plain:.1f})")
    steps = live_steps(animator, sound, camera)
    table.add_row("live step, p50 and p99", f"{steps.p50_ms:.2f} and {steps.p99_ms:.2f} ms")
    table.add_row("rest pose draws the fitted picture exactly", str(rest_is_exact(animator, camera)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.add_row("peak memory of the process", f"{peak:,.0f} MB")
    if device == "cuda":
        table.add_row("peak memory of the GPU", f"{torch.cuda.max_memory_allocated() / 2**20:,.0f} MB")
    console.print(table)

    table = Table("stage", "ms a frame", title="each stage alone, in batches and live")
    table.add_column("ms, one frame")
    batched = stages(animator, sound, camera, BATCH_FRAMES if device == "cuda" else STRETCH_FRAMES)
    single = stages(animator, sound[: 10 * SAMPLE_RATE], camera, 1)
    for stage, value in batched.items():
        table.add_row(stage, f"{value:.4f}", f"{single[stage]:.3f}")
    console.print(table)
    if device == "cuda":
        _compare(console, animator, on_cpu, sound, camera, sheet)


def _compare(
    console: Console,
    animator: Animator,
    on_cpu: Animator,
    sound: np.ndarray,
    camera: Camera,
    sheet: Path | None,
) -> None:
    """Print how far the device's pictures are from the CPU's, with bfloat16 and without."""

    def pictures(of: Animator) -> list[np.ndarray]:
        frames = of.frames(sound, camera=camera)
        return [frame.rgb for frame in itertools.islice(frames, _FIRST_COMPARED, _FIRST_COMPARED + _COMPARED)]

    expected = pictures(on_cpu)
    headings = ("matrices in", "PSNR, dB", "largest difference", "off by more than 2", "frames a second")
    table = Table(*headings, title="GPU against CPU")
    lower = animator.model.use_bfloat16
    found = []
    for name, bfloat16 in (("float32", False), ("bfloat16", True)):
        animator.model.use_bfloat16 = bfloat16
        animator.avatar = animator.avatar  # a graph keeps the precision that it was captured with
        found = pictures(animator)
        rate = batch_rate(animator, sound, camera)
        decibels, largest, share = psnr_db(found, expected)
        table.add_row(name, f"{decibels:.1f}", str(largest), f"{100 * share:.3f} %", f"{rate:,.0f}")
    animator.model.use_bfloat16 = lower
    animator.avatar = animator.avatar
    console.print(table)
    if sheet is not None:
        rows = [_side_by_side(expected[at], found[at]) for at in (0, len(expected) // 2, len(expected) - 1)]
        with atomic_write(sheet) as path:
            path.write_bytes(cv2.imencode(".png", np.concatenate(rows)[..., ::-1])[1].tobytes())


def _side_by_side(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference = np.minimum(20 * np.abs(one.astype(np.int32) - other), 255).astype(np.uint8)
    return np.concatenate([one, other, difference], 1)


def _show(view: FrameView | BatchView, moved: Gaussians) -> Pictures:
    """Pictures of T frames."""
    if isinstance(view, BatchView):
        return view.draw(moved)
    frames = [view.draw(moved.select(t)) for t in range(moved.means.shape[0])]
    rgb, alpha = (torch.from_numpy(np.stack(parts)) for parts in zip(*frames, strict=True))
    return Pictures(rgb, alpha)


def _blocks(sound: np.ndarray) -> list[np.ndarray]:
    """Pieces of 40 ms."""
    return np.split(sound, range(SAMPLES_PER_FRAME, len(sound), SAMPLES_PER_FRAME))[
        : len(sound) // SAMPLES_PER_FRAME
    ]


def _wait(animator: Animator) -> None:
    if animator.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
