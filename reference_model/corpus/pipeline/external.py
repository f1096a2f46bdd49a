"""Other people's tools as stages of the corpus: a language model, a speech synthesiser, picture and video generators.

A command is a template that is split like a shell line but never run by a shell; `{name}` in it becomes a value.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.speech.synthesis import SAMPLE_RATE, Utterance

__all__ = [
    "ask_for_lines",
    "check_template",
    "diffusion_portrait",
    "output_of_command",
    "portrait_prompt",
    "run_command",
    "time_like",
]

_ERROR_LINES = 5


def check_template(option: str, template: str, needed: tuple[str, ...]) -> None:
    """Refuse a command template that cannot work, before hours of other work.

    Raises:
        AvatarBenchError: E504 when it is empty, does not split into words, or lacks a placeholder.
    """
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise AvatarBenchError("E504", "the command cannot be read", where=option, got=str(error)) from error
    missing = [name for name in needed if f"{{{name}}}" not in template]
    if not words or missing:
        raise AvatarBenchError(
            "E504",
            "the command does not say where its values go",
            where=option,
            expected="a program and " + ", ".join(f"{{{name}}}" for name in needed),
            got=repr(template),
        )


def run_command(option: str, template: str, *, stdin: str | None = None, **values: str) -> str:
    """Run a command and return what it printed.

    Args:
        option: The option that gave the command, for messages.
        template: The command.
        stdin: Text for its standard input.
        values: What `{name}` becomes; each stays one argument, whatever characters it has.

    Raises:
        AvatarBenchError: E606 when it cannot be started or ends with an error.
    """
    arguments = [_filled(word, values) for word in shlex.split(template)]
    try:
        done = subprocess.run(arguments, input=stdin or "", capture_output=True, text=True, check=False)
    except OSError as error:
        raise AvatarBenchError(
            "E606", "the command cannot be started", where=option, got=str(error), fix="check its path"
        ) from error
    if done.returncode != 0:
        told = "\n".join(done.stderr.strip().splitlines()[-_ERROR_LINES:])
        raise AvatarBenchError(
            "E606",
            f"the command ended with status {done.returncode}",
            where=option,
            got=told or "no message",
            fix=f"try it by hand: {shlex.join(arguments)}",
        )
    return done.stdout


def _filled(word: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), word)


@contextmanager
def output_of_command(option: str, template: str, suffix: str, **values: str) -> Iterator[Path]:
    """The file that a command writes to `{out}`, for as long as the block lasts.

    Raises:
        AvatarBenchError: E606 when the command fails or writes no file.
    """
    with tempfile.TemporaryDirectory(prefix="corpus-command-") as folder:
        out = Path(folder) / f"out{suffix}"
        run_command(option, template, out=str(out), **values)
        if not out.is_file() or out.stat().st_size == 0:
            raise AvatarBenchError(
                "E606", "the command wrote no file", where=option, expected=f"a {suffix} file at {{out}}"
            )
        yield out


def ask_for_lines(option: str, template: str, prompt: str) -> list[str]:
    """The lines of text that a command answers to a prompt on its standard input.

    Bullets, numbers, quotation marks, empty lines and repetitions are removed.

    Raises:
        AvatarBenchError: E606 when the command fails or answers nothing.
    """
    answer = run_command(option, template, stdin=prompt)
    lines = (
        re.sub(r"^\s*(?:[-*•]|\d+[.)])\s+", "", line).strip().strip('"“”') for line in answer.splitlines()
    )
    kept = list(dict.fromkeys(line for line in lines if any(letter.isalpha() for letter in line)))
    if not kept:
        raise AvatarBenchError(
            "E606",
            "the command answered no text",
            where=option,
            expected="one sentence a line",
            got=repr(answer),
        )
    return kept


def time_like(reference: Utterance, samples: np.ndarray) -> Utterance:
    """The reference's text as another voice speaks it, with times that are estimated, not measured.

    The reference's phoneme and word times are stretched so that its speech begins and ends where the other sound
    does; within the speech every phoneme keeps its share. Times can be off by some tenths of a second.

    Args:
        reference: The text spoken by espeak-ng, without silence around it.
        samples: The other sound at 16 kHz, [S] float32.

    Raises:
        AvatarBenchError: E203 when the sound is silent.
    """
    loud = np.flatnonzero(np.abs(samples) > 0.02 * max(float(np.abs(samples).max(initial=0.0)), 1e-4))
    if not len(loud) or float(np.abs(samples).max()) < 1e-3:
        raise AvatarBenchError("E203", "the speech command gave a silent sound", got=repr(reference.text))
    start_s, end_s = loud[0] / SAMPLE_RATE, (loud[-1] + 1) / SAMPLE_RATE
    scale = (end_s - start_s) / reference.duration
    return Utterance(
        samples=samples.astype(np.float32),
        phonemes=[(start_s + scale * at, ipa) for at, ipa in reference.phonemes] + [(end_s, "")],
        words=[(start_s + scale * at, word) for at, word in reference.words],
        text=reference.text,
        voice=reference.voice,
    )


_AGE_WORDS = {"20-35": "young", "35-50": "middle-aged", "50-65": "older", "65-85": "elderly"}
_TONE_WORDS = ("very fair", "fair", "medium", "olive", "brown", "dark brown")
_SHOWN = {
    "half": "half-body portrait",
    "three_quarter": "portrait down to the knees",
    "full": "full-body portrait",
}


def portrait_prompt(attributes: Attributes) -> str:
    """The text-to-image prompt of a person, as appendix C of the paper describes it."""
    hair = (
        "bald head"
        if attributes.hair_style == "bald"
        else (f"{attributes.hair_style.replace('_', ' ')} {attributes.hair_colour.replace('_', ' ')} hair")
    )
    extras = [f"{attributes.beard} beard"] if attributes.beard != "none" else []
    extras += ["glasses"] if attributes.glasses else []
    return ", ".join(
        [
            f"photorealistic {_SHOWN[attributes.framing]} of a {_AGE_WORDS[attributes.age_stratum]} "
            f"{'woman' if attributes.sex == 'female' else 'man'}",
            f"{attributes.build} build",
            f"{_TONE_WORDS[attributes.skin_tone - 1]} skin",
            hair,
            *extras,
            f"{attributes.top.replace('_', ' ')} and {attributes.bottom}",
            "facing the camera, making a conversational gesture",
            "both hands fully visible with natural fingers",
            "natural friendly expression, solid plain background, soft even light",
        ]
    )


def diffusion_portrait(folder: Path, prompt: str, seed: int, width: int, height: int) -> np.ndarray:
    """A portrait from a text-to-image pipeline of diffusers in a local folder; nothing is downloaded.

    Args:
        folder: A saved pipeline with `model_index.json` and weights as safetensors.
        prompt: What to show.
        seed: Seed of the noise.
        width: Pixels.
        height: Pixels.

    Returns:
        Picture, [height, width, 3] uint8 sRGB.

    Raises:
        AvatarBenchError: E502 when the folder holds no pipeline, E603 when diffusers is missing.
    """
    if not (folder / "model_index.json").is_file():
        raise AvatarBenchError(
            "E502",
            "the folder holds no diffusers pipeline",
            where=folder,
            expected="a model_index.json in it",
        )
    try:
        import torch
        from diffusers.pipelines.auto_pipeline import AutoPipelineForText2Image
    except ImportError as error:
        raise AvatarBenchError(
            "E603",
            "the package diffusers is missing",
            fix="install it with: pip install 'avatarbench[paper]'",
        ) from error
    pipeline: Any = AutoPipelineForText2Image.from_pretrained(
        folder, local_files_only=True, use_safetensors=True
    )
    noise = torch.Generator("cpu").manual_seed(seed)
    side = 8  # latents are an eighth of the picture
    picture = pipeline(
        prompt=prompt, width=-(-width // side) * side, height=-(-height // side) * side, generator=noise
    ).images[0]
    return np.asarray(picture.convert("RGB").resize((width, height)), np.uint8)
