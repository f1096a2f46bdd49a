"""Gaussians as PLY files in the layout of 3D Gaussian splatting, which viewers and editors of splats read.

One binary vertex per Gaussian with float32 `x y z nx ny nz f_dc_0..2 opacity scale_0..2 rot_0..3`: colour as the
constant spherical harmonic, opacity as logit, scales as logarithms, rotation as quaternion wxyz (Kerbl et al., 2023).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.avatar.gaussians import Gaussians

__all__ = ["read_ply", "write_ply"]

_SH_C0 = 0.28209479177387814  # 1 / (2 sqrt(pi)), the constant spherical harmonic
_OPACITY_MARGIN = 1e-6  # keeps the logit of 0 and 1 finite
_COLUMNS = {
    "means": ("x", "y", "z"),
    "normals": ("nx", "ny", "nz"),
    "colors": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacities": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "quats": ("rot_0", "rot_1", "rot_2", "rot_3"),
}
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4",
    "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip
_HEADER_LIMIT = 1 << 16  # bytes; a header with all spherical harmonics has 2 kB


def write_ply(path: str | Path, gaussians: Gaussians) -> None:
    """Write Gaussians without leading dimensions, in place of any file at `path`.

    Raises:
        AvatarBenchError: E601 or E602 if the file cannot be written.
    """
    g = gaussians.detach().to("cpu")
    opacity = g.opacities.double().clamp(_OPACITY_MARGIN, 1 - _OPACITY_MARGIN)
    values = {
        "means": g.means,
        "normals": g.normals,
        "colors": (g.colors - 0.5) / _SH_C0,
        "opacities": opacity.logit()[:, None],
        "scales": g.scales.log(),
        "quats": g.quats,
    }
    table = torch.cat([values[name].float() for name in _COLUMNS], dim=1).numpy()  # [N, 17]
    names = [column for columns in _COLUMNS.values() for column in columns]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(g)}"]
    header += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_write(path) as temporary:
        Path(temporary).write_bytes("\n".join(header).encode("ascii") + table.astype("<f4").tobytes())


def read_ply(path: str | Path) -> Gaussians:
    """Read a splat of any program that keeps to the layout; higher spherical harmonics are left aside.

    Returns:
        N Gaussians on the CPU with quaternions of unit length.

    Raises:
        AvatarBenchError: E301 if the file is not there or no such splat.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise AvatarBenchError("E301", "the PLY file cannot be read", where=path, got=str(error)) from error
    vertices = _parse(content, path)

    def columns(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([vertices[c].astype(np.float32) for c in _COLUMNS[name]], axis=-1))

    gaussians = Gaussians(
        means=columns("means"),
        quats=torch.nn.functional.normalize(columns("quats"), dim=-1),
        scales=columns("scales").exp(),
        opacities=columns("opacities")[:, 0].sigmoid(),
        colors=columns("colors") * _SH_C0 + 0.5,
    )
    if not all(torch.isfinite(part).all() for part in (gaussians.means, gaussians.quats, gaussians.scales)):
        raise _broken(path, "finite numbers", "NaN or infinite values")
    return gaussians


def _parse(content: bytes, path: str | Path) -> NDArray[np.void]:
    """The vertices as a structured array with one field per property."""
    end = content.find(b"end_header", 0, _HEADER_LIMIT)
    start = content.find(b"\n", end) + 1
    if not content.startswith(b"ply") or end < 0 or start == 0:
        raise _broken(path, "a PLY header", repr(content[:16]))
    lines = [line.split() for line in content[:end].decode("ascii", "replace").splitlines()]
    if ["format", "binary_little_endian", "1.0"] not in lines:
        raise _broken(path, "format binary_little_endian 1.0", "another format")
    elements = [line for line in lines if line[:1] == ["element"]]
    if not elements or elements[0][1] != "vertex" or not elements[0][-1].isdigit():
        raise _broken(path, "an element 'vertex' first", " ".join(elements[0]) if elements else "no element")
    fields, in_vertex = [], False
    for line in lines:
        if line[:1] == ["element"]:
            in_vertex = line is elements[0]
        elif line[:1] == ["property"] and in_vertex:
            if len(line) != 3 or line[1] not in _TYPES:
                raise _broken(path, "number properties", " ".join(line))
            fields.append((line[2], _TYPES[line[1]]))
    names = [name for name, _ in fields]
    if len(set(names)) < len(names):
        raise _broken(path, "each property once", "a property twice")
    missing = {c for name, cs in _COLUMNS.items() if name != "normals" for c in cs} - set(names)
    if missing:
        raise _broken(path, "the properties of a Gaussian splat", f"no {', '.join(sorted(missing))}")
    dtype, count = np.dtype(fields), int(elements[0][2])
    if len(content) - start < count * dtype.itemsize:
        raise _broken(
            path, f"{count} vertices of {dtype.itemsize} bytes", f"{len(content) - start} bytes of data"
        )
    return np.frombuffer(content, dtype, count, start)


def _broken(path: str | Path, expected: str, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E301", "not a Gaussian splat in PLY form", where=path, expected=expected, got=got
    )
