"""The inner loops of `deform` on an NVIDIA GPU: the CPU's own functions, compiled for CUDA and run for all frames."""

from __future__ import annotations

from torch import Tensor

from reference_model.compiled import compile_together
from reference_model.cuda_kernels import cuda, launch
from reference_model.deform_kernels import SHARED

__all__ = ["move_frames"]

_device = compile_together(cuda.jit(device=True), SHARED)


def _compose(parents, turn, shift, center, quaternion, linear, offset, orientation):  # pragma: no cover
    """One thread a frame."""
    frame = cuda.grid(1)  # pyright: ignore[reportCallIssue]
    if frame < turn.shape[0]:
        compose_chain(  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
            parents, turn[frame], shift[frame], center, quaternion[frame],
            linear[frame], offset[frame], orientation[frame],
        )  # fmt: skip


def _move(
    means, quats, particle_index, particle_weight, bone_index, bone_weight,
    turn, shift, center, quaternion, linear, offset, orientation, residual, out_means, out_quats,
):  # pragma: no cover  # fmt: skip
    """One thread a frame and Gaussian."""
    index = cuda.grid(1)  # pyright: ignore[reportCallIssue]
    frame, i = index // means.shape[0], index % means.shape[0]
    if frame < out_means.shape[0]:
        _move_one(  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
            i, (means, quats, particle_index, particle_weight, bone_index, bone_weight),
            (turn[frame], shift[frame], center, quaternion[frame]),
            (linear[frame], offset[frame], orientation[frame]),
            residual[frame], out_means[frame], out_quats[frame],
        )  # fmt: skip


_kernels = compile_together(cuda.jit, [_compose, _move], known=_device)


def move_frames(
    parents: Tensor,
    joints: tuple[Tensor, ...],
    local: tuple[Tensor, ...],
    points: tuple[Tensor, ...],
    offset: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `reference_model.deform_kernels.move_frames`, all frames at once."""
    turn, shift, center, quaternion = (_frames_first(part, 3 + (k == 0)) for k, part in enumerate(joints))
    residual = _frames_first(offset, 3)
    linear, translation, orientation = (turn.new_empty(part.shape) for part in (turn, shift, quaternion))
    bones = (linear, translation, orientation)
    launch(_kernels["_compose"], len(turn), parents, turn, shift, center[0], quaternion, *bones, threads=32)
    turn, shift, center, quaternion = (_frames_first(part, 3 + (k == 0)) for k, part in enumerate(local))
    means = residual.new_empty(residual.shape)
    quats = residual.new_empty(*residual.shape[:-1], 4)
    launch(
        _kernels["_move"], means.shape[0] * means.shape[1], *points, turn, shift, center[0], quaternion, *bones,
        residual, means, quats,
    )  # fmt: skip
    return means.view(offset.shape), quats.view(*offset.shape[:-1], 4)


def _frames_first(part: Tensor, ndim: int) -> Tensor:
    return (part if part.ndim == ndim else part[None]).contiguous()
