"""Pretrained models by pinned name and revision, from a local folder or cache; nothing is downloaded here."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["WAV2VEC2", "WHISPER", "PinnedModel", "find_model", "load_pretrained", "transformers_package"]

_HASH_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """One published model, down to its bytes."""

    repository: str
    """Name on the Hugging Face hub."""
    revision: str
    """Commit."""
    weights_sha256: str | None
    """Of its weights; None where none is published: then the one of the first file is recorded beside it and counts."""
    architecture: str | None
    """`model_type` of its `config.json`; None for a model without one."""
    files: tuple[str, ...]
    """What is needed beside its weights."""
    megabytes: int
    licence: str
    kind: str = "speech model"
    weights_file: str = "model.safetensors"
    repository_type: str = "model"
    """Of the hub: model or space."""
    error_codes: tuple[str, str] = ("E321", "E322")
    """Of a missing model and of another one."""

    @property
    def folder_name(self) -> str:
        """Name of its folder among other weights."""
        return self.repository.rsplit("/", 1)[1]


WAV2VEC2 = PinnedModel(
    repository="facebook/wav2vec2-base-960h",
    revision="22aad52d435eb6dbaf354bdad9b0da84ce7d6156",
    weights_sha256="8aa76ab2243c81747a1f832954586bc566090c83a0ac167df6f31f0fa917d74a",
    architecture="wav2vec2",
    files=("config.json",),
    megabytes=378,
    licence="Apache-2.0",
)
"""The paper cites wav2vec 2.0 without a size; base-960h is what audio-driven video models use."""

WHISPER = PinnedModel(
    repository="openai/whisper-base",
    revision="e37978b90ca9030d5170a5c07aadb050351a65bb",
    weights_sha256="07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b",
    architecture="whisper",
    files=("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    megabytes=290,
    licence="Apache-2.0",
)


def find_model(pinned: PinnedModel, folder: Path | None = None) -> Path:
    """The folder that holds a model, its weights' hash compared.

    Looked for in `folder`, else in the folders of `AVATARBENCH_WEIGHTS` under the model's own name, else in the cache
    of the Hugging Face hub; the first place that has it decides.

    Raises:
        AvatarBenchError: E321, it stands nowhere or lacks a file; E322, its bytes are not the pinned ones (or the
            model's own `error_codes`); E603, transformers is missing.
    """
    if folder is not None:
        found = folder
    else:
        named = (
            Path(entry) for entry in os.environ.get("AVATARBENCH_WEIGHTS", "").split(os.pathsep) if entry
        )
        offline = [place / pinned.folder_name for place in named]
        found = next((place for place in offline if place.is_dir()), None) or _cached(pinned)
    if found is None:
        _missing(pinned, "AVATARBENCH_WEIGHTS and the cache of the Hugging Face hub", pinned.folder_name)
    lacking = [name for name in (pinned.weights_file, *pinned.files) if not (found / name).is_file()]
    if lacking:
        _missing(pinned, str(found), ", ".join(lacking))
    _check_architecture(pinned, found)
    _check_bytes(pinned, found / pinned.weights_file)
    return found


def load_pretrained(pinned: PinnedModel, class_name: str, folder: Path | None = None) -> Any:
    """A frozen transformers model from `find_model`; every tensor that the class wants must be in the file.

    Args:
        pinned: Which model.
        class_name: A class of transformers, without a task's head.
        folder: See `find_model`.

    Raises:
        AvatarBenchError: E321, E322, E603 as in `find_model`; E322 also when tensors are missing or misshapen.
    """
    model_class = getattr(transformers_package(), class_name)
    found = find_model(pinned, folder)
    try:
        model, report = model_class.from_pretrained(
            found, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _other(pinned, found, "tensors that fit the model", str(error)) from error
    # SpecAugment's mask embedding is used in training alone, and the published file has none.
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("masked_spec_embed"))
    if missing or report["mismatched_keys"]:
        got = f"missing {missing}, of another shape {sorted(map(str, report['mismatched_keys']))}"
        raise _other(pinned, found, "every tensor of the model", got)
    return model.eval().requires_grad_(False)


def transformers_package() -> Any:
    """The package transformers; E603 when it is missing."""
    try:
        import transformers
    except ImportError as error:
        raise AvatarBenchError(
            "E603",
            "the package transformers is missing; pretrained models need it",
            fix="install it with: pip install 'avatarbench[paper]'",
        ) from error
    return transformers


def _cached(pinned: PinnedModel) -> Path | None:
    transformers_package()  # brings huggingface_hub
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            pinned.repository,
            repo_type=pinned.repository_type,
            revision=pinned.revision,
            local_files_only=True,
        )
        return Path(folder)
    except LocalEntryNotFoundError:
        return None


def _check_bytes(pinned: PinnedModel, weights: Path) -> None:
    digest = hashlib.sha256()
    with weights.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    found, record = digest.hexdigest(), weights.with_name(f"{weights.name}.sha256")
    expected = pinned.weights_sha256
    if expected is None and record.is_file():
        expected = record.read_text("ascii", errors="replace").split(" ")[0].strip()
    elif expected is None:
        with atomic_write(record) as temporary:
            Path(temporary).write_text(f"{found}  {weights.name}\n", "ascii")
        return
    if found != expected:
        raise _other(pinned, weights, expected, found)


def _check_architecture(pinned: PinnedModel, found: Path) -> None:
    if pinned.architecture is None:
        return
    try:
        architecture = json.loads((found / "config.json").read_text("utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise _other(pinned, found / "config.json", "a JSON object", str(error)) from error
    if architecture != pinned.architecture:
        raise _other(pinned, found / "config.json", f"model_type {pinned.architecture}", str(architecture))


def _missing(pinned: PinnedModel, where: str, got: str) -> NoReturn:
    files = (pinned.weights_file, *pinned.files)
    # A whole model, or the few files of a repository that holds more.
    wanted = "" if pinned.weights_file == "model.safetensors" else f" {' '.join(files)}"
    space = "" if pinned.repository_type == "model" else f" --repo-type {pinned.repository_type}"
    raise AvatarBenchError(
        pinned.error_codes[0],
        f"the {pinned.kind} {pinned.repository} is not on this machine",
        where=where,
        expected=", ".join(files),
        got=f"no {got}",
        fix=f"fetch it once ({pinned.megabytes} MB, {pinned.licence}): hf download {pinned.repository}{wanted}{space} "
        f"--revision {pinned.revision}, or with --local-dir FOLDER/{pinned.folder_name} and AVATARBENCH_WEIGHTS=FOLDER",
    )


def _other(pinned: PinnedModel, where: Path, expected: str, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        pinned.error_codes[1],
        f"this is not the {pinned.kind} {pinned.repository} of revision {pinned.revision[:12]}",
        where=where,
        expected=expected,
        got=got,
        fix="fetch it anew with the revision above; other weights would not fit what was trained on these",
    )
