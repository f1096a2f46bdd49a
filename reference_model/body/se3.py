"""Rotations and rigid motions in the log domain, safe in float32 from the very first training step.

The deformer's last layer starts at zero, so the rotation angle of its first step is exactly zero: the textbook
formulas divide 0 by 0 there and give NaN gradients. Every function here branches on the *squared* angle before any
root or division and replaces the angle in the branch that is not taken ("double where"), so that value and gradient
are finite and accurate for all angles below pi. All arithmetic is element-wise, thus an enclosing autocast region
cannot lower it to bfloat16, in which 750 composed frames lose orthonormality altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "MAX_ANGLE",
    "clamp_rotation",
    "exp_se3",
    "exp_so3",
    "leaky_integrate",
    "left_jacobian_so3",
    "log_se3",
    "log_so3",
    "matrix_to_quaternion",
    "quaternion_multiply",
    "quaternion_to_matrix",
    "retention",
    "rotation_vector_to_quaternion",
]

MAX_ANGLE = 2.6
"""Largest rotation angle of a particle state, radians: away from the cut of the logarithm at pi."""

_SERIES_BELOW = {torch.float32: 1e-3, torch.float64: 1e-5}
"""Squared angle under which the Taylor series is the more accurate branch, by dtype."""


def _full_precision(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _coefficients(squared_angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three coefficients of the exponential map as functions of the squared angle.

    Args:
        squared_angle: Any shape, radians squared.

    Returns:
        sin(a)/a, (1 - cos a)/a^2 and (a - sin a)/a^3, each of the shape of `squared_angle`.
    """
    small = squared_angle < _SERIES_BELOW[squared_angle.dtype]
    t = torch.where(small, squared_angle, torch.zeros_like(squared_angle))
    series_a = 1 - t / 6 * (1 - t / 20 * (1 - t / 42))
    series_b = 0.5 - t / 24 * (1 - t / 30 * (1 - t / 56))
    series_c = 1 / 6 - t / 120 * (1 - t / 42 * (1 - t / 72))
    t2 = torch.where(small, torch.ones_like(squared_angle), squared_angle)
    angle = t2.sqrt()
    a = torch.where(small, series_a, angle.sin() / angle)
    b = torch.where(small, series_b, 2 * (angle / 2).sin().square() / t2)
    c = torch.where(small, series_c, (angle - angle.sin()) / (t2 * angle))
    return a, b, c


def _rotation(w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """I + a [w] + b [w]^2 for rotation vectors [..., 3]; `a`, `b` are [...]."""
    x, y, z = w.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    xy, xz, yz = b * x * y, b * x * z, b * y * z
    ax, ay, az = a * x, a * y, a * z
    rows = (
        1 - b * (yy + zz), xy - az, xz + ay,
        xy + az, 1 - b * (xx + zz), yz - ax,
        xz - ay, yz + ax, 1 - b * (xx + yy),
    )  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def exp_so3(rotation_vector: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (Rodrigues).

    Args:
        rotation_vector: [..., 3], radians.

    Returns:
        [..., 3, 3].
    """
    w = _full_precision(rotation_vector)
    a, b, _ = _coefficients(w.square().sum(-1))
    return _rotation(w, a, b)


def left_jacobian_so3(rotation_vector: Tensor) -> Tensor:
    """How a rotation follows its vector: to first order `exp(w + dw) = exp(J(w) dw) exp(w)`.

    Args:
        rotation_vector: [..., 3], radians.

    Returns:
        J, [..., 3, 3].
    """
    w = _full_precision(rotation_vector)
    _, b, c = _coefficients(w.square().sum(-1))
    return _rotation(w, b, c)


def exp_se3(twist: Tensor) -> tuple[Tensor, Tensor]:
    """Rigid motions of twists (eq. 3 of the paper): `x -> R x + t` with `R = exp(w)`, `t = V(w) v`.

    Args:
        twist: [..., 6] = (w, v), radians and metres.

    Returns:
        R [..., 3, 3] and t [..., 3].
    """
    twist = _full_precision(twist)
    w, v = twist[..., :3], twist[..., 3:]
    a, b, c = _coefficients(w.square().sum(-1))
    wv = torch.linalg.cross(w, v)
    translation = v + b[..., None] * wv + c[..., None] * torch.linalg.cross(w, wv)
    return _rotation(w, a, b), translation


def log_so3(rotation: Tensor) -> Tensor:
    """Rotation vectors of rotation matrices, the shorter way round.

    Args:
        rotation: [..., 3, 3], orthonormal.

    Returns:
        [..., 3], radians, at most pi long.
    """
    quaternion = matrix_to_quaternion(rotation)
    cosine, sine = quaternion[..., 0], quaternion[..., 1:]  # of the half angle; cosine >= 0
    s2 = sine.square().sum(-1)
    small = s2 < _SERIES_BELOW[s2.dtype]
    t = torch.where(small, s2, torch.zeros_like(s2))
    series = 1 + t / 6 * (1 + t * 9 / 20 * (1 + t * 25 / 42))  # arcsin(s)/s
    length = torch.where(small, torch.ones_like(s2), s2).sqrt()
    factor = torch.where(small, series, torch.atan2(length, cosine) / length)
    return 2 * factor[..., None] * sine


def log_se3(rotation: Tensor, translation: Tensor) -> Tensor:
    """Twists of rigid motions, inverse of `exp_se3` for angles below pi.

    Args:
        rotation: [..., 3, 3].
        translation: [..., 3], metres.

    Returns:
        [..., 6] = (w, v).
    """
    w = log_so3(rotation)
    t2 = w.square().sum(-1)
    a, b, _ = _coefficients(t2)
    small = t2 < _SERIES_BELOW[t2.dtype]
    t = torch.where(small, t2, torch.zeros_like(t2))
    series = 1 / 12 + t / 720 * (1 + t / 42)
    closed = (1 - a / (2 * b)) / torch.where(small, torch.ones_like(t2), t2)
    d = torch.where(small, series, closed)[..., None]
    wt = torch.linalg.cross(w, translation)
    return torch.cat([w, translation - 0.5 * wt + d * torch.linalg.cross(w, wt)], -1)


def clamp_rotation(twist: Tensor, max_angle: float = MAX_ANGLE) -> Tensor:
    """Shorten the rotation part of twists radially to at most `max_angle`.

    Args:
        twist: [..., 6] = (w, v), or bare rotation vectors [..., 3].
        max_angle: Radians.

    Returns:
        As `twist`; v is unchanged.
    """
    w = twist[..., :3]
    t2 = w.square().sum(-1, keepdim=True)
    over = t2 > max_angle**2
    scale = torch.where(
        over, max_angle / torch.where(over, t2, torch.ones_like(t2)).sqrt(), torch.ones_like(t2)
    )
    return torch.cat([w * scale, twist[..., 3:]], -1)


def rotation_vector_to_quaternion(rotation_vector: Tensor) -> Tensor:
    """Unit quaternions of rotation vectors.

    Args:
        rotation_vector: [..., 3], radians.

    Returns:
        [..., 4], wxyz.
    """
    half = _full_precision(rotation_vector) / 2
    a, b, _ = _coefficients(half.square().sum(-1))
    cosine = 1 - b * half.square().sum(-1)
    return torch.cat([cosine[..., None], a[..., None] * half], -1)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation matrices of quaternions of any non-zero length.

    Args:
        quaternion: [..., 4], wxyz.

    Returns:
        [..., 3, 3].
    """
    q = _full_precision(quaternion)
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def matrix_to_quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternions of rotation matrices, with w >= 0.

    The largest of the four components is taken from the diagonal and the others are divided by it (Shepperd 1978),
    so nothing is divided by a small number at any angle.

    Args:
        rotation: [..., 3, 3], orthonormal.

    Returns:
        [..., 4], wxyz.
    """
    r = _full_precision(rotation)
    m00, m11, m22 = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    a, b, c = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    d, e, f = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    square = torch.stack(
        [1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1
    )
    candidates = torch.stack(
        [
            torch.stack([square[..., 0], a, b, c], -1),
            torch.stack([a, square[..., 1], d, e], -1),
            torch.stack([b, d, square[..., 2], f], -1),
            torch.stack([c, e, f, square[..., 3]], -1),
        ],
        -2,
    )  # [..., 4, 4]: row k is 4 q_k q
    largest = square.argmax(-1)[..., None, None].expand(*square.shape[:-1], 1, 4)
    row = candidates.gather(-2, largest).squeeze(-2)
    q = row / row.norm(dim=-1, keepdim=True)
    return torch.where(q[..., :1] < 0, -q, q)


def quaternion_multiply(left: Tensor, right: Tensor) -> Tensor:
    """Hamilton product: the rotation `right` followed by the rotation `left`.

    Args:
        left: [..., 4], wxyz.
        right: [..., 4], wxyz; broadcast against `left`.

    Returns:
        [..., 4], wxyz.
    """
    aw, ax, ay, az = left.unbind(-1)
    bw, bx, by, bz = right.unbind(-1)
    parts = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return torch.stack(parts, -1)


def retention(tau_s: Tensor, fps: float) -> Tensor:
    """Share of a state that survives one frame, `exp(-1 / (fps tau))`.

    Args:
        tau_s: Time constants, seconds.
        fps: Frames a second.

    Returns:
        Of the shape of `tau_s`, in (0, 1).
    """
    return torch.exp(-1.0 / (fps * tau_s))


def leaky_integrate(
    twists: Tensor,
    rho: Tensor,
    initial: Tensor | None = None,
    *,
    method: Literal["scan", "matmul"] = "matmul",
    groups: Sequence[Tensor] | None = None,
) -> Tensor:
    """Leaky integration of twists in the log domain, `s_t = rho s_{t-1} + twist_t`.

    Stands in for the product of eq. 3, which drifts even without noise: twists that sum to zero over a closed loop
    leave a rotation behind, 1.8 degrees a second for a loop of 0.1 rad. In the log domain the loop closes, the leak
    bounds `|s|` by `max|twist| / (1 - rho)`, and the recursion is linear, so that training can do it as one product
    with a lower-triangular matrix while streaming does it frame by frame.

    Args:
        twists: [..., T, M, 6].
        rho: [M], retention of each particle, in [0, 1].
        initial: [..., M, 6], the state before the first frame; zero when None.
        method: "scan" steps through the frames, "matmul" is the parallel form; equal up to rounding.
        groups: Particles of equal `rho`, [m] int64 each, all together M; found here when None, for which a GPU waits.

    Returns:
        States [..., T, M, 6].
    """
    twists = _full_precision(twists)
    if method == "scan":
        state = torch.zeros_like(twists[..., 0, :, :]) if initial is None else initial
        states = []
        for step in twists.unbind(-3):
            state = rho[:, None] * state + step
            states.append(state)
        return torch.stack(states, -3)

    n_frames = twists.shape[-3]
    lag = torch.arange(n_frames, device=twists.device)
    lag = (lag[:, None] - lag[None, :]).to(twists.dtype)  # [T, T], t - k
    out = torch.empty_like(twists)
    with torch.autocast(twists.device.type, enabled=False):
        if groups is None:
            groups = [(rho == value).nonzero().squeeze(-1) for value in rho.unique()]
        for members in groups:
            value = rho[members[:1]]  # [1]; a number would have to be fetched from the device
            kernel = torch.where(lag >= 0, value ** lag.clamp_min(0), torch.zeros_like(lag))  # [T, T]
            part = twists.index_select(-2, members)  # [..., T, m, 6]
            summed = (kernel @ part.flatten(-2)).unflatten(-1, (len(members), 6))
            out = out.index_copy(out.ndim - 2, members, summed)
    if initial is not None:
        decay = rho[None, :] ** (lag[:, :1] + 1)  # [T, M]
        out = out + decay[..., None] * initial.unsqueeze(-3)
    return out
