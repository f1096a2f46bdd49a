from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.ply import read_ply, write_ply


@pytest.fixture
def gaussians() -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    return Gaussians(
        means=torch.randn(40, 3, generator=generator),
        quats=torch.nn.functional.normalize(torch.randn(40, 4, generator=generator), dim=-1),
        scales=0.01 * torch.rand(40, 3, generator=generator) + 1e-4,
        opacities=torch.rand(40, generator=generator),
        colors=torch.rand(40, 3, generator=generator),
    )


def test_what_is_written_is_read(gaussians: Gaussians, tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", gaussians)
    again = read_ply(tmp_path / "a.ply")
    for name in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(again, name), getattr(gaussians, name), atol=1e-6, rtol=1e-5)


def test_layout_is_that_of_3d_gaussian_splatting(gaussians: Gaussians, tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", gaussians)
    header, data = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 40"]
    names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
    assert [line.split()[2] for line in lines[3:]] == names.split()
    vertex = np.frombuffer(data, "<f4").reshape(40, 17)[5]
    np.testing.assert_allclose(vertex[:3], gaussians.means[5])
    np.testing.assert_allclose(0.5 + vertex[6:9] / np.sqrt(4 * np.pi), gaussians.colors[5], atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-vertex[9])), gaussians.opacities[5], atol=1e-6)
    np.testing.assert_allclose(np.exp(vertex[10:13]), gaussians.scales[5], rtol=1e-5)


def test_fully_opaque_and_clear_gaussians_stay_finite(gaussians: Gaussians, tmp_path: Path) -> None:
    gaussians.opacities[:2] = torch.tensor([0.0, 1.0])
    write_ply(tmp_path / "a.ply", gaussians)
    torch.testing.assert_close(
        read_ply(tmp_path / "a.ply").opacities[:2], torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0
    )


def test_files_of_other_programs_are_read_whatever_their_order_and_extras(tmp_path: Path) -> None:
    names = "rot_0 rot_1 rot_2 rot_3 f_rest_0 scale_0 scale_1 scale_2 opacity f_dc_0 f_dc_1 f_dc_2 x y z"
    lines = [f"property float {name}" for name in names.split()]
    lines = ["ply", "comment made elsewhere", "format binary_little_endian 1.0", "element vertex 1", *lines]
    lines += ["property uchar flag", "element face 0", "property list uchar int vertex_indices", "end_header"]
    numbers = np.array([2, 0, 0, 0, 9, -1, -2, -3, 0, 0, 0, 0, 7, 8, 9], "<f4")
    path = tmp_path / "b.ply"
    path.write_bytes("\n".join(lines).encode() + b"\n" + numbers.tobytes() + b"\x05")
    splat = read_ply(path)
    assert splat.means.tolist() == [[7.0, 8.0, 9.0]]
    assert splat.quats.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert splat.opacities.tolist() == [0.5]
    assert splat.colors.tolist() == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (lambda content: content[:-3], "bytes of data"),
        (lambda content: b"PNG" + content, "b'PNGply"),
        (lambda content: content.replace(b"opacity", b"density"), "no opacity"),
        (lambda content: content.replace(b"little", b"big"), "another format"),
        (lambda content: content.replace(b"scale_1", b"scale_0"), "twice"),
        (lambda content: b"", "b''"),
    ],
)
def test_broken_files_are_named_with_what_is_wrong(gaussians: Gaussians, tmp_path: Path, spoil, got) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, gaussians)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(AvatarBenchError) as error:
        read_ply(path)
    assert error.value.code == "E301"
    assert got in str(error.value.got)


def test_a_missing_file_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(AvatarBenchError) as error:
        read_ply(tmp_path / "nowhere.ply")
    assert error.value.code == "E301"
