"""Make the data set `mini`: `python -m reference_model.corpus.mini_dataset --out benchmark/data/mini`.

Two made people speak five clips each, drawn by the mesh renderer. The voices belong to the corpus's held-out split and
the texts are not in the corpus at all, so that no network has heard them. Needs the extra `train` (espeak-ng speaks).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from media.files import atomic_write
from media.video import write_video
from reference_model.corpus.animator import FPS, Motion, Style, animate
from reference_model.corpus.people import PEOPLE, MadePerson
from reference_model.corpus.scene import LIGHT_RIGS, View, develop, frontal_view, paint_background
from reference_model.corpus.speech import SpeechSynthesizer, Utterance, Voice
from reference_model.innovations import sample_innovations

__all__ = [
    "DURATION_S",
    "LEAD_S",
    "SETTINGS",
    "TEXTS",
    "ClipPlan",
    "Setting",
    "absolute_rotations",
    "clip_frames",
    "main",
    "make_dataset",
    "plan_clips",
    "speak",
]

WIDTH, HEIGHT = 384, 512
DURATION_S = 4.4
N_FRAMES = round(DURATION_S * FPS)
TEXTS = (
    "People move their hands when they talk, even on the phone.",
    "My favourite part of the morning is the first cup of coffee.",
    "Maybe we should begin with the map of the old harbour.",
    "You can hear the bees before you ever see a single one.",
    "Both of my brothers play football on Wednesday evenings.",
    "This bridge was built by volunteers in just four months.",
    "Please open the window, the room is far too warm for me.",
    "Few people know how much water a single apple needs.",
    "I promised my mother that I would be home before seven.",
    "What I love about maps is that they leave so much out.",
)
"""What is said; none of it is in the corpus that the networks learn from."""

LEAD_S = 0.2
"""Silence before the first word: the first picture is the reference image, with a calm face."""
_LONGEST_S, _WANTED_S = 4.1, 3.8  # of speech
_RATES = 110, 195  # words a minute
_LIGHT_EVERY = 5
"""Frames between two measurements of the soft shadows."""
_EXPOSURE = 0.60
_CRF = 14


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a person is filmed, and the voice."""

    voice: Voice
    rig: str
    background: str
    colours: tuple[tuple[int, int, int], ...]
    visible_height: float
    """Metres from the top to the bottom of the picture."""


SETTINGS = {
    "woman": Setting(Voice("en-us", "Annie", pitch=62, pitch_range=60), "window", "room",
                      ((168, 170, 166), (126, 138, 140), (178, 160, 138), (108, 118, 110)), 0.93),
    "man": Setting(Voice("en-us", "robert", pitch=42, pitch_range=60), "studio", "wall",
                    ((150, 156, 162),), 0.93),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip before it is made."""

    id: str
    person: str
    text: str
    seed: int
    style: Style


def plan_clips(seed: int) -> list[ClipPlan]:
    """Who says what, and how: the people take turns through `TEXTS`."""
    rng = random.Random(seed)
    names = list(PEOPLE)
    plans = []
    for i, text in enumerate(TEXTS):
        person = names[i % len(names)]
        style = Style(
            expression=rng.uniform(0.15, 0.40),
            gesture_amplitude=rng.uniform(0.6, 1.0),
            head_amplitude=rng.uniform(0.7, 1.1),
            handedness=rng.uniform(-0.3, 0.5),
            lip_articulation=rng.uniform(0.9, 1.15),
        )
        plans.append(ClipPlan(f"{person}-{i // len(names) + 1}", person, text, 1000 * seed + i, style))
    return plans


def speak(synthesizer: SpeechSynthesizer, text: str, voice: Voice) -> Utterance:
    """Speak a text at the rate that fills the clip, with silence before and after, exactly `DURATION_S` long."""
    trial = synthesizer.speak(text, voice)
    rate = round(np.clip(voice.rate * trial.duration / _WANTED_S, *_RATES))
    spoken = synthesizer.speak(
        text, Voice(voice.language, voice.variant, rate, voice.pitch, voice.pitch_range)
    )
    if spoken.duration > _LONGEST_S:
        raise ValueError(f"{text!r} takes {spoken.duration:.2f} s, more than {_LONGEST_S} s")
    return spoken.padded(LEAD_S, DURATION_S - LEAD_S - spoken.duration)


def _view(person: MadePerson, setting: Setting) -> View:
    head = person.template.joint("head")
    target = np.array([0.0, -0.05, person.joints[head, 2] + 0.22 - setting.visible_height / 2])
    return frontal_view(target, setting.visible_height, WIDTH, HEIGHT)


def absolute_rotations(rest: np.ndarray, motion: Motion) -> np.ndarray:
    """Rest pose and motion together: each bone first takes its rest rotation, then turns in its own axes.

    Args:
        rest: Rotation vectors of the rest pose, [J, 3] radians.
        motion: Its `rotations` are relative to the rest pose, [T, J, 3].

    Returns:
        Rotation vectors, [T, J, 3] float32 radians.
    """
    n_frames = len(motion.rotations)
    base = Rotation.from_rotvec(np.tile(rest, (n_frames, 1)))
    turned = base * Rotation.from_rotvec(motion.rotations.reshape(-1, 3))
    return turned.as_rotvec().reshape(motion.rotations.shape).astype(np.float32)


def clip_frames(person: MadePerson, motion: Motion, setting: Setting, seed: int) -> Iterator[np.ndarray]:
    """Draw a performance.

    Args:
        person: Who performs.
        motion: What is done, [T].
        setting: Camera height, light and background.
        seed: Of the background's shapes.

    Yields:
        sRGB pictures, [HEIGHT, WIDTH, 3] uint8.
    """
    view, rig = _view(person, setting), LIGHT_RIGS[setting.rig]
    wall = paint_background(setting.background, setting.colours, WIDTH, HEIGHT, np.random.default_rng(seed))
    rotations = absolute_rotations(person.rest_pose, motion)
    last = len(motion.actions) - 1
    before = after = np.empty(0)
    for frame in range(last + 1):
        posed = person.pose(motion.actions[frame], rotations[frame], view.centre)
        phase = frame % _LIGHT_EVERY
        if phase == 0:
            before = after if frame else person.visibility(posed, rig)
            ahead = min(frame + _LIGHT_EVERY, last)
            after = person.visibility(person.pose(motion.actions[ahead], rotations[ahead], view.centre), rig)
        share = phase / _LIGHT_EVERY
        light = before * (1 - share) + after * share
        yield develop(person.render(posed, light, view, rig), wall, _EXPOSURE)


def make_dataset(out: Path, seed: int) -> None:
    """Write all clips and the manifest.

    Args:
        out: Folder to write into; made if absent.
        seed: Of people, voices and motion.

    Raises:
        AvatarBenchError: E602 when the folder cannot be written, E603 without espeak-ng.
    """
    people = {name: MadePerson(look, seed) for name, look in PEOPLE.items()}
    lines = []
    with SpeechSynthesizer() as synthesizer:
        for plan in plan_clips(seed):
            setting, person = SETTINGS[plan.person], people[plan.person]
            utterance = speak(synthesizer, plan.text, setting.voice)
            innovations = sample_innovations(N_FRAMES, plan.seed)
            motion = animate(utterance, innovations, plan.style, np.random.default_rng(plan.seed))
            media = Path("clips") / f"{plan.id}.mp4"
            (out / media).parent.mkdir(parents=True, exist_ok=True)
            frames = clip_frames(person, motion, setting, seed)
            write_video(out / media, frames, FPS, audio=utterance.samples, crf=_CRF)
            lines.append(_manifest_line(out, media, plan, person))
            logging.info("%s: %s", plan.id, plan.text)
    with atomic_write(out / "manifest.jsonl") as path:
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _manifest_line(out: Path, media: Path, plan: ClipPlan, person: MadePerson) -> str:
    return json.dumps(
        {
            "id": plan.id,
            "identity": plan.person,
            "media": media.as_posix(),
            "start_s": 0.0,
            "duration_s": DURATION_S,
            "sha256": hashlib.sha256((out / media).read_bytes()).hexdigest(),
            "transcript": plan.text,
            "licence": "CC0-1.0",
            "attributes": {**person.look.attributes, "language": "en", "made": True, "seed": plan.seed},
        }
    )


def main() -> None:
    """Make the data set from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--seed", type=int, default=0, help="seed of people, voices and motion")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # two torch threads beside numba are several times slower
    make_dataset(options.out, options.seed)


if __name__ == "__main__":
    main()
