"""A figure of a few dozen triangles for tests of the drawing: `python tests/corpus/tiny_figure.py OUT.npz`.

Run as a program it draws the shot with the CUDA code on numba's simulator (NUMBA_ENABLE_CUDASIM=1) and writes the
pictures; the tests compare them with the CPU's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from reference_model.body.skinning import TemplateTensors
from reference_model.body.template import load_template
from reference_model.corpus.drawing.draw import Shot
from reference_model.corpus.drawing.figure import Figure
from reference_model.corpus.drawing.layers import Layer, ShadowVolume, Surface
from reference_model.corpus.drawing.mesh_raster import N_CUTS
from reference_model.corpus.drawing.mesh_shade import SkinChart
from reference_model.corpus.drawing.mesh_surfaces import N_PAINT, PAINTS_SHIFT, Material
from reference_model.corpus.drawing.scene import frontal_view

N_FRAMES = 7


class StillEyes:
    """Eyeballs that look ahead, wherever the body is."""

    def parameters(self, posed: np.ndarray) -> np.ndarray:
        """[2, 14] rows of the shader: centre, gaze, iris, sclera, half-angles."""
        row = [*posed.mean(0), 0, -1, 0, 0.3, 0.2, 0.1, 0.6, 0.6, 0.6, 22, 8]
        return np.array([row, row], np.float32)


def ball(centre: tuple[float, float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """An octahedron refined once: vertices [V, 3] float32 and faces [F, 3] int32 seen from outside."""
    corners = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    triangles = [(k, (k + 1) % 4, 4) for k in range(4)] + [((k + 1) % 4, k, 5) for k in range(4)]
    points, faces = [], []
    for a, b, c in (corners[list(triangle)] for triangle in triangles):
        start = len(points)
        points += [a, b, c, a + b, b + c, c + a]
        faces += [[start + i for i in t] for t in ((0, 3, 5), (1, 4, 3), (2, 5, 4), (3, 4, 5))]
    unit = np.array(points) / np.linalg.norm(points, axis=1, keepdims=True)
    return (unit * radius + centre).astype(np.float32), np.array(faces, np.int32)


def surface(
    faces: np.ndarray, code: int, canonical: np.ndarray, colour: tuple[float, float, float]
) -> Surface:
    """A plain surface without cuts over vertices at `canonical` [N, 3]."""
    n = len(canonical)
    return Surface(
        faces, np.full(len(faces), code, np.int8), np.tile(np.array(colour, np.float32), (n, 1)),
        canonical, np.full((n, 1), 0.05, np.float32), np.ones((n, N_CUTS), np.float32),
    )  # fmt: skip


def tiny_figure() -> Figure:
    """A head-sized skin ball with one facial action, a cloth ball that is cut and relaxed, and six strands."""
    template = load_template()
    n_joints, head = template.n_joints, template.joint("head")
    rng = np.random.default_rng(0)

    def bound(n: int) -> sp.csr_matrix:
        share = rng.uniform(0.5, 1, n).astype(np.float32)
        rows, columns = np.repeat(np.arange(n), 2), np.tile([head, template.joint("neck01")], n)
        return sp.csr_matrix((np.stack([share, 1 - share], 1).ravel(), (rows, columns)), (n, n_joints))

    middle = template.joints[head]
    points, faces = ball(tuple(middle), 0.10)
    n = len(points)
    actions = np.zeros((52, n, 3), np.float32)
    actions[3] = 0.02 * rng.normal(size=(n, 3))
    body = Layer(
        points, bound(n), surface(faces, Material.SKIN, points, (0.5, 0.3, 0.2)), actions=actions,
        inset=np.full(n, 0.002, np.float32),
    )  # fmt: skip
    cloth_points, cloth_faces = ball((0.03, middle[1] - 0.02, middle[2] - 0.1), 0.07)
    cloth = surface(cloth_faces, Material.CLOTH + PAINTS_SHIFT, cloth_points, (0.1, 0.2, 0.5))
    cloth.cuts[:, 1] = cloth_points[:, 0] - 0.01
    average = sp.csr_matrix(0.8 * np.eye(n) + 0.2 / n, dtype=np.float32)
    top = Layer(cloth_points, bound(n), cloth, relax=average, relax_steps=2, soften=average)
    width = np.outer(rng.uniform(0.6, 1.2, 6), [0.004, 0.006, 0.006, 0.004, 0.002, 0.001]).astype(np.float32)
    roots = middle + np.stack([np.linspace(-0.08, 0.08, 6), np.full(6, -0.09), np.full(6, 0.07)], 1)
    strands = roots[:, None] + np.arange(6)[None, :, None] * np.array([0.001, -0.002, -0.012])
    start = np.arange(6)[:, None] * 12 + 2 * np.arange(5)
    strips = [np.stack([start, start + 1, start + 2], -1), np.stack([start + 1, start + 3, start + 2], -1)]
    hair_faces = np.stack(strips, 2).reshape(-1, 3).astype(np.int32)
    places = strands.reshape(-1, 3).astype(np.float32)
    hair = Layer(
        places, bound(36), surface(hair_faces, Material.HAIR, np.repeat(places, 2, 0), (0.1, 0.06, 0.03)),
        strand_width=width,
    )  # fmt: skip
    chart = SkinChart(rng.uniform(0.5, 1, (4, 8, 4)).astype(np.float32), 0.0, -1.0, 1.0)
    return Figure(
        (body, top, hair), TemplateTensors(template), StillEyes(), chart, np.full((2, N_PAINT), 0.02, np.float32),
        np.arange(n), ShadowVolume(tuple(middle.tolist()), 0.3, 32),
    )  # fmt: skip


def tiny_shot(size: int = 16) -> Shot:
    """Seven frames of a nodding head in a picture `size` pixels wide and high."""
    template = load_template()
    rng = np.random.default_rng(1)
    actions = np.zeros((N_FRAMES, 52), np.float32)
    actions[:, 3] = np.linspace(0, 1, N_FRAMES)
    rotations = np.zeros((N_FRAMES, template.n_joints, 3), np.float32)
    rotations[:, template.joint("head")] = 0.2 * rng.normal(size=(N_FRAMES, 3))
    view = frontal_view(template.joints[template.joint("head")] - [0, 0, 0.03], 0.35, size, size)
    return Shot(actions, rotations, view, "studio", np.full((size, size, 3), 0.2, np.float32), 0.8)


def main() -> None:
    """Draw the tiny shot with the CUDA code and write pictures and alphas."""
    from reference_model.corpus.drawing.draw_cuda import draw_frames_cuda

    frames = list(draw_frames_cuda(tiny_figure(), tiny_shot(), device="cpu", batch=4))
    np.savez(
        Path(sys.argv[1]), pictures=[frame[0] for frame in frames], alphas=[frame[1] for frame in frames]
    )


if __name__ == "__main__":
    main()
