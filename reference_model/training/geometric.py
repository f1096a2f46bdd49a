"""First weights by geometric supervision: `python -m reference_model.training.geometric --corpus FILE --out FILE`.

The network hears synthesised speech and learns the motion of the procedural animator, measured on the surface of
the template. `--model pose_driven` trains the rival on the same batches: same encoder, but facial actions and
joint rotations as its output. `--text` trains phoneme encoder and fusion of weights that hear, and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from media.errors import AvatarBenchError
from reference_model.networks.model import load_model
from reference_model.networks.weights import load_weights, read_metadata, save_weights
from reference_model.training.batches import Batch
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.face_report import FaceReport
from reference_model.training.text import text_objective, without_words
from reference_model.training.trainer import Trainer, TrainingOptions, evaluate

__all__ = ["OBJECTIVES", "main", "make_objective"]

_log = logging.getLogger(__name__)

OBJECTIVES = {
    "particles": "reference_model.training.particle_objective:ParticleObjective",
    "pose_driven": "baselines.pose_driven_objective:PoseDrivenObjective",
}
"""Name to "module:class", imported on demand: the rival lives outside of this package."""

_OPTION_TYPES = {
    "steps": int,
    "speech_steps": int,
    "batch": int,
    "frames": int,
    "seed": int,
    "evaluate_every": int,
    "held_out_crops": int,
    "minutes": float,
    "density": float,
    "learning_rate": float,
}
_LOG_EVERY = 50


def make_objective(name: str, density: float, start: Path | None = None) -> Any:
    """The objective called `name`.

    Args:
        name: In `OBJECTIVES`.
        density: Share of the supervised points.
        start: Weights to go on from; None begins anew.
    """
    module, attribute = OBJECTIVES[name].split(":")
    sizes = {"config": load_model(start).config} if start is not None and name == "particles" else {}
    objective = getattr(importlib.import_module(module), attribute)(density=density, **sizes)
    if start is not None:
        load_weights(start, objective.network)
    return objective


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--corpus", type=Path, required=True, help="file of reference_model.corpus.geometry_corpus"
    )
    parser.add_argument("--out", type=Path, required=True, help="weights file to write, .safetensors")
    parser.add_argument("--start", type=Path, help="weights to go on from; default: new ones")
    parser.add_argument(
        "--text", action="store_true", help="train phoneme encoder and fusion of --start, and nothing else"
    )
    parser.add_argument("--model", choices=sorted(OBJECTIVES), default="particles")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, kind in _OPTION_TYPES.items():
        default = getattr(TrainingOptions(), name)
        parser.add_argument("--" + name.replace("_", "-"), type=kind, default=default)
    given = vars(parser.parse_args(arguments))
    corpus, out, start, text, name, device = (
        given.pop(key) for key in ("corpus", "out", "start", "text", "model", "device")
    )
    if text and (start is None or name != "particles"):
        parser.error("--text needs --start, weights of the model particles")
    options = TrainingOptions(**given)
    if text:
        options = replace(options, speech_steps=0)  # what hears stays as it is
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        _train(name, corpus, out, start, torch.device(device), options, text=text)
    except AvatarBenchError as error:
        _log.error("%s", error)
        return 3
    return 0


def _train(
    name: str,
    corpus_path: Path,
    out: Path,
    start: Path | None,
    device: torch.device,
    options: TrainingOptions,
    *,
    text: bool,
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(options.seed)
    corpus = CorpusBatches(corpus_path, device)
    held_out = corpus.held_out(options.held_out_crops, options.frames, options.batch)
    if text:
        assert start is not None
        objective = text_objective(start, options.density)
    else:
        objective = make_objective(name, options.density, start)
    size = sum(p.numel() for p in objective.network.parameters() if p.requires_grad)
    _log.info("%s: %.2f M parameters learn, %s", name, size / 1e6, options)
    trainer = Trainer(objective, corpus, options, device, started=start is not None)
    report = _run(trainer, objective, held_out)
    metadata = {
        "kind": objective.kind,
        "config": objective.config(),
        "options": asdict(trainer.options),
        "command": f"python -m reference_model.training.geometric --model {name}" + " --text" * text,
        "corpus_sha256": corpus.sha256,
        "torch": torch.__version__,
        "held_out": asdict(report),
    }
    metadata["options"].pop("minutes")  # steps says what came of it
    if text:
        silent = evaluate(objective, [without_words(batch) for batch in held_out])
        _log.info("without the text: %s", silent)
        metadata["held_out_without_text"] = asdict(silent)
    if start is not None:
        metadata["start"] = read_metadata(start, objective.kind)
    with trainer.averaged_weights():
        save_weights(out, objective.network.state_dict(), metadata)
    _log.info("wrote %s", out)


def _run(trainer: Trainer, objective: Any, held_out: Sequence[Batch]) -> FaceReport:
    """Train to the end and report; returns the figures of the averaged weights."""
    started = time.perf_counter()
    for losses in trainer.run():
        if trainer.step % _LOG_EVERY == 0 or trainer.step in (1, 10):
            terms = " ".join(f"{key} {value:.3f}" for key, value in losses.items())
            spent = time.perf_counter() - started
            _log.info("step %d of %d  %.0f s  %s", trainer.step, trainer.options.steps, spent, terms)
        if trainer.step % trainer.options.evaluate_every == 0:
            with trainer.averaged_weights():
                _log.info("held out: %s", evaluate(objective, held_out))
    with trainer.averaged_weights():
        report = evaluate(objective, held_out)
    _log.info("held out, at the end: %s", report)
    return report


if __name__ == "__main__":
    sys.exit(main())
