"""Files of reconstruction networks: safetensors, whose header says what they are and come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.body.template import load_template
from reference_model.networks.weights import tensors_sha256
from reference_model.reconstruction.canvas_network import CanvasNetwork
from reference_model.reconstruction.head_encoder import HeadEncoder
from reference_model.reconstruction.reconstructor import ReconstructionConfig, Reconstructor

__all__ = [
    "MINI_WEIGHTS",
    "LoadedReconstruction",
    "load_canvas_network",
    "load_reconstruction",
    "save_canvas_network",
    "save_reconstruction",
    "shipped_canvas_network",
]

_KEY = "avatarbench"
_KIND = "Reconstructor"
_CANVAS_KIND = "CanvasNetwork"
MINI_WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "reconstruction_mini.safetensors"
"""The weights that ship, half precision."""
_NEW = ("reconstructor.transformer.hand.", ".attn.hand.", "reconstructor.weights.")  # what LHM lacks


class LoadedReconstruction(NamedTuple):
    """A reconstruction network and what of it was in no file."""

    reconstructor: Reconstructor
    head_encoder: HeadEncoder
    new: list[str]
    """Parameters with their first values: hand branch and weight decoder after an import."""


def save_reconstruction(
    path: Path, tensors: dict[str, Tensor], config: ReconstructionConfig, source: Path | None = None
) -> None:
    """Write networks as they are, atomically.

    Args:
        path: The file.
        tensors: State dicts under "reconstructor." and "head_encoder.".
        config: Of the reconstructor.
        source: The checkpoint they come from, if from one.
    """
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    document: dict[str, Any] = {
        "kind": _KIND,
        "config": asdict(config),
        "tensors_sha256": tensors_sha256(stored),
    }
    if source is not None:
        with source.open("rb") as file:
            document["source"] = {
                "name": source.name,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }
    with atomic_write(path) as temporary:
        save_file(stored, str(temporary), {_KEY: json.dumps(document, sort_keys=True)})


def load_reconstruction(path: Path, head_encoder: HeadEncoder | None = None) -> LoadedReconstruction:
    """Read networks; hand branch and weight decoder may be absent and are new then, which changes no output.

    Args:
        path: The file.
        head_encoder: What to fill; ViT-L when None.

    Raises:
        AvatarBenchError: E305, the file is damaged or holds another network; E306, it is no safetensors file; E603,
            transformers is missing.
    """
    document, tensors = _read(path)
    if document.get("kind") != _KIND or document.get("tensors_sha256") != tensors_sha256(tensors):
        raise _damaged(path, "its own kind and hash of the tensors", str(document.get("kind")))
    networks = nn.ModuleDict(
        {
            "reconstructor": Reconstructor(ReconstructionConfig(**document["config"])),
            "head_encoder": HeadEncoder.empty() if head_encoder is None else head_encoder,
        }
    )
    try:
        missing, unexpected = networks.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise _damaged(path, "tensors of the network's shapes", str(error)) from error
    lacking = [name for name in missing if not any(part in name for part in _NEW)]
    if lacking or unexpected:
        raise _damaged(path, "the network's tensors", f"missing {lacking}, unexpected {unexpected}")
    return LoadedReconstruction(networks["reconstructor"], networks["head_encoder"], missing)  # type: ignore[arg-type]


def _damaged(path: Path, expected: str, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E305",
        "the file is damaged or holds another network",
        where=path,
        expected=expected,
        got=got,
        fix="make it anew with avatar import-lhm",
    )


def save_canvas_network(path: Path, network: CanvasNetwork, training: dict[str, Any]) -> None:
    """Write a network of the preset `mini` in half precision, atomically.

    Args:
        path: The file.
        network: What to write.
        training: What is known of its training, as JSON's types.
    """
    stored = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    document = {
        "kind": _CANVAS_KIND,
        "config": asdict(network.reconstructor.config),
        "tensors_sha256": tensors_sha256(stored),
        "training": training,
    }
    with atomic_write(path) as temporary:
        save_file(stored, str(temporary), {_KEY: json.dumps(document, sort_keys=True)})


def load_canvas_network(path: Path = MINI_WEIGHTS) -> CanvasNetwork:
    """Read what `save_canvas_network` wrote.

    Raises:
        AvatarBenchError: E305, the file is damaged or holds another network; E306, it is no safetensors file.
    """
    document, tensors = _read(path)
    if document.get("kind") != _CANVAS_KIND or document.get("tensors_sha256") != tensors_sha256(tensors):
        raise _damaged(path, "a CanvasNetwork and the hash of its tensors", str(document.get("kind")))
    network = CanvasNetwork(load_template(), ReconstructionConfig(**document["config"]))
    try:
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise _damaged(path, "tensors of the network's shapes", str(error)) from error
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=2)
def shipped_canvas_network(device: torch.device | str = "cpu") -> CanvasNetwork:
    """The network `mini` as it ships; the same object on every call, not to be trained on."""
    return load_canvas_network().to(device)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            document = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            return document, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise AvatarBenchError("E306", "the file cannot be read", where=path, got=str(error)) from error
