"""Weights files: half-precision safetensors whose header says what they are and how they came about."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["load_weights", "read_metadata", "save_weights", "tensors_sha256"]

_KEY = "avatarbench"


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Digest of names, shapes and bytes of tensors, whatever their order in the file."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.view(torch.uint8).numpy().tobytes() if value.ndim else value.numpy().tobytes())
    return digest.hexdigest()


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write weights in half precision.

    Args:
        path: The file; replaced atomically.
        tensors: State dict.
        metadata: JSON document: kind, config, command, seed, corpus hash. The tensors' digest is added.
    """
    half = {name: value.detach().cpu().half().contiguous() for name, value in tensors.items()}
    bad = [name for name, value in half.items() if not bool(value.isfinite().all())]
    if bad:
        raise ValueError(f"weights must be finite in half precision, but are not in {', '.join(bad)}")
    document = {**metadata, "tensors_sha256": tensors_sha256(half)}
    with atomic_write(path) as temporary:
        save_file(half, str(temporary), {_KEY: json.dumps(document, sort_keys=True)})


def read_metadata(path: Path, kind: str) -> dict[str, Any]:
    """The JSON document of a weights file.

    Args:
        path: The file.
        kind: Which model the weights must be of.

    Raises:
        AvatarBenchError: E502, the file is missing, damaged or of another model.
    """
    document, _ = _read(path, with_tensors=False)
    if document.get("kind") != kind:
        raise _damaged(
            path, "The weights are of another model.", expected=kind, got=str(document.get("kind"))
        )
    return document


def load_weights(path: Path, module: nn.Module) -> None:
    """Fill `module` with the weights of a file.

    Raises:
        AvatarBenchError: E502, the file is missing, damaged, or its tensors do not fit the module.
    """
    document, tensors = _read(path, with_tensors=True)
    digest = tensors_sha256(tensors)
    if digest != document.get("tensors_sha256"):
        raise _damaged(path, "The weights are damaged.", expected=document.get("tensors_sha256"), got=digest)
    try:
        module.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise _damaged(path, "The weights do not fit the model.", got=str(error)) from error


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise _damaged(path, "There are no weights.")
    try:
        with safe_open(str(path), framework="pt") as file:
            document = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise _damaged(path, "The weights cannot be read.", got=repr(error)) from error
    return document, tensors


def _damaged(
    path: Path, what: str, *, expected: str | None = None, got: str | None = None
) -> AvatarBenchError:
    return AvatarBenchError(
        "E502",
        what,
        where=path,
        expected=expected,
        got=got,
        fix="Reinstall the package, or train them: python -m reference_model.training.geometric",
    )
