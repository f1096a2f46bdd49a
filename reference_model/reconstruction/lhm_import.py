"""Read LHM checkpoints into our networks, by name and shape, or not at all.

The names come from the code of LHM (aigc3d/LHM, Apache-2.0), not from one of its files, none of which was at hand: the
importer is layout-tested. It takes over every tensor that it knows and refuses a file that lacks one, has one of
another shape, or holds one that it does not know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from media.errors import AvatarBenchError
from reference_model.reconstruction.head_encoder import HeadEncoder, published_dino
from reference_model.reconstruction.reconstruction_file import save_reconstruction
from reference_model.reconstruction.reconstructor import BASE, ReconstructionConfig, Reconstructor

__all__ = ["ImportReport", "import_lhm", "lhm_names"]

_NAMES = (
    ("encoder.fusion_head.", "head_encoder.fusion."),
    ("pcl_embed.", "reconstructor.point_embedding."),
    ("motion_embed_mlp.", "reconstructor.condition."),
    ("transformer.", "reconstructor.transformer."),
    ("renderer.mlp_net.layers.", "reconstructor.decoder.mlp."),
    ("renderer.gs_net.out_layers.shs.", "reconstructor.decoder.color."),
    ("renderer.gs_net.out_layers.scaling.", "reconstructor.decoder.scale."),
    ("renderer.gs_net.out_layers.xyz.", "reconstructor.decoder.offset."),
    ("renderer.gs_net.out_layers.opacity.", "reconstructor.decoder.opacity."),
    ("renderer.gs_net.out_layers.rotation.", "reconstructor.decoder.rotation."),
)
_DINO = "encoder.model."
_SKIPPED = {
    "fine_encoder.": "Sapiens, loaded from its own file",
    "renderer.smplx_model.": "buffers made from SMPL-X, whose licence is not free",
    "id_face_net.": "a loss of its training",
    "faceESRGAN.": "enlarges small heads",
}
_SHOWN = 8


class ImportReport(NamedTuple):
    """What became of a checkpoint's tensors."""

    imported: int
    skipped: dict[str, int]
    """Tensors left out on purpose, by what they belong to."""
    config: ReconstructionConfig


def lhm_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of LHM by our names; what is left out is gone, what is unknown keeps its name."""
    dino = {name[len(_DINO) :]: value for name, value in tensors.items() if name.startswith(_DINO)}
    ours = {f"head_encoder.dino.{name}": value for name, value in published_dino(dino).items()}
    for name, value in tensors.items():
        if not name.startswith((_DINO, *_SKIPPED)):
            ours[_our_name(name)] = value
    return ours


def import_lhm(
    checkpoint: Path,
    output: Path,
    *,
    config: ReconstructionConfig = BASE,
    head_encoder: Callable[[], HeadEncoder] = HeadEncoder.empty,
) -> ImportReport:
    """Turn an LHM checkpoint into a file that `load_reconstruction` reads.

    Args:
        checkpoint: A safetensors file, or a folder with `model.safetensors`; the number of layers is taken from it.
        output: The file to write; nothing is written unless every tensor fits.
        config: Sizes to expect.
        head_encoder: Makes the head encoder to expect.

    Raises:
        AvatarBenchError: E305, tensors are missing, unexpected, misshapen or not finite, all by name; E306, the file
            is no safetensors file; E601, E602 as `atomic_write`; E603, transformers is missing.
    """
    if checkpoint.is_dir():
        checkpoint = checkpoint / "model.safetensors"
    tensors = _read(checkpoint)
    skipped = Counter(
        what for name in tensors for prefix, what in _SKIPPED.items() if name.startswith(prefix)
    )
    config = replace(config, n_layers=_n_layers(tensors) or config.n_layers)
    with torch.device("meta"):  # shapes alone
        expected = nn.ModuleDict(
            {
                "reconstructor": Reconstructor(replace(config, hand_enhance=False, weight_decoder=False)),
                "head_encoder": head_encoder(),
            }
        ).state_dict()
    ours = lhm_names(tensors)
    _check(checkpoint, expected, ours)
    save_reconstruction(output, ours, config, source=checkpoint)
    return ImportReport(len(ours), dict(skipped), config)


def _our_name(name: str) -> str:
    for theirs, ours in _NAMES:
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return name


def _read(checkpoint: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(checkpoint), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise AvatarBenchError(
            "E306",
            "the checkpoint cannot be read",
            where=checkpoint,
            expected="a safetensors file; pickled checkpoints (.pth, .pt, .ckpt, .bin) are never opened",
            got=str(error),
            fix="take a release with safetensors, such as: hf download 3DAIGC/LHM-500M-HF",
        ) from error


def _n_layers(tensors: dict[str, Tensor]) -> int:
    found = [re.match(r"transformer\.layers\.(\d+)\.", name) for name in tensors]
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _check(checkpoint: Path, expected: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    """Refuse a checkpoint with whatever is wrong with it, all at once."""
    both = expected.keys() & ours.keys()
    wrong = {
        "missing": sorted(expected.keys() - ours.keys()),
        "unexpected": sorted(ours.keys() - expected.keys()),
        "of another shape": [
            f"{name} {_shape(ours[name])} instead of {_shape(expected[name])}"
            for name in sorted(both)
            if ours[name].shape != expected[name].shape
        ],
        "not finite": [name for name in sorted(both) if not bool(ours[name].isfinite().all())],
    }
    if any(wrong.values()):
        raise AvatarBenchError(
            "E305",
            "the checkpoint does not hold an LHM network",
            where=checkpoint,
            expected=f"{len(expected)} tensors",
            got="; ".join(f"{len(names)} {kind}: {_listed(names)}" for kind, names in wrong.items() if names),
            fix="names are ours; reference_model/reconstruction/lhm_import.py has LHM's beside them",
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
