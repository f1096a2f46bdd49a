"""Speech of many voices with the motion of the procedural performer, for geometric supervision.

Run `python -m reference_model.corpus.geometry_corpus --hours 2 --recorded 0.5 --out FOLDER --seed 0`; it writes
`FOLDER/geometry.npz` (see `corpus_file.GeometryCorpus`) and `FOLDER/report.json`. With `--recorded`, that share of the
takes is spoken by voices made of recordings, for which flite and Festival must be installed (docs/model.md, Training).
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.body.template import load_template
from reference_model.corpus.corpus_file import (
    MEL_FRAMES_PER_PICTURE,
    GeometryCorpus,
    compress_rotations,
    encode_log_mel,
    save_corpus,
)
from reference_model.corpus.motion.animator import FPS, Motion, Style, animate
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.speech.recorded import HELD_OUT_VOICES, RECORDED_VOICES, RecordedVoices
from reference_model.corpus.speech.synthesis import MAX_RANDOM_VARIANTS, SpeechSynthesizer, Utterance
from reference_model.corpus.speech.utterances import draw_language, draw_text, draw_voice
from reference_model.corpus.speech.visemes import PHONEME_CLASSES, closed_pictures, lip_tracks
from reference_model.innovations import BLINK_ONSET, sample_innovations
from reference_model.networks.features import power_mel
from reference_model.networks.phoneme_encoder import encode_ids

__all__ = ["Take", "build_corpus", "draw_takes", "main", "speak_take"]

_log = logging.getLogger(__name__)

_HELD_OUT_SHARE = 0.08
_SENTENCES_PER_TAKE = (1, 4)
_PAUSE_S = (0.15, 1.2)
"""Some pauses are long enough for the mouth to go to rest."""
_STRETCH = (0.75, 1.2)
_TRACT = (0.88, 1.14)
"""Of recorded voices, beside the perturbation that training adds."""


PERFORMER = Style(gesture_amplitude=1.3, head_amplitude=0.9, lip_articulation=1.25, loudness_share=0.0)
"""Whom the networks learn from; one style, because they are not told any. Beside the two real talkers at hand the
median performer hardly opens the lips (95th percentile of the gap 0.09 of the eye distance, theirs 0.23 and 0.31).
Their lips do not follow the loudness. The strokes of the hands are larger than the median's, and the head turns about
as far as those of the made people (0.55 to 1.1): a network gives back the mean over what it could have heard, some 0.6
of the head's turns."""


@dataclass(frozen=True, slots=True)
class Take:
    """One voice speaking some sentences, and the performance."""

    utterance: Utterance
    motion: Motion
    innovations: np.ndarray
    """[T, 8] float32."""
    style: Style
    held_out: bool


def speak_take(synthesizer: SpeechSynthesizer, rng: random.Random, *, held_out: bool) -> Utterance:
    """A voice of one split says several texts of the same split, with pauses between and around them.

    Returns:
        An utterance whose length is a whole number of pictures.
    """
    language = draw_language(rng, held_out=held_out)
    voice = draw_voice(rng, language, synthesizer.variants, held_out=held_out)
    return _take_of(lambda text: synthesizer.speak(text, voice), rng, language, held_out=held_out)


def speak_recorded_take(recorded: RecordedVoices, rng: random.Random, *, held_out: bool) -> Utterance:
    """The same by one of the recorded voices, each language's texts by the voices that speak it."""
    names = [name for name in RECORDED_VOICES if (name in HELD_OUT_VOICES) == held_out]
    name = rng.choice(names)
    stretch, tract = rng.uniform(*_STRETCH), rng.uniform(*_TRACT)
    language = RECORDED_VOICES[name].language
    return _take_of(lambda text: recorded.speak(text, name, stretch, tract), rng, language, held_out=held_out)


def _take_of(
    speak: Callable[[str], Utterance], rng: random.Random, language: str, *, held_out: bool
) -> Utterance:
    texts = [draw_text(rng, language, held_out=held_out) for _ in range(rng.randint(*_SENTENCES_PER_TAKE))]
    parts = [speak(text).padded(rng.uniform(*_PAUSE_S), 0.0) for text in texts]
    take = Utterance.joined(parts)
    n_pictures = int(np.ceil((take.duration + rng.uniform(*_PAUSE_S)) * FPS))
    return take.padded(0.0, n_pictures / FPS - take.duration)


def draw_takes(
    synthesizer: SpeechSynthesizer,
    hours: float,
    seed: int,
    recorded: RecordedVoices | None = None,
    recorded_share: float = 0.0,
) -> Iterator[Take]:
    """Takes of `hours` in all, about one in twelve held out; recorded voices speak a share of them."""
    rng = random.Random(seed)
    remaining_s = hours * 3600
    while remaining_s > 0:
        held_out = rng.random() < _HELD_OUT_SHARE
        if recorded is not None and rng.random() < recorded_share:
            utterance = speak_recorded_take(recorded, rng, held_out=held_out)
        else:
            utterance = speak_take(synthesizer, rng, held_out=held_out)
        take_seed = rng.getrandbits(32)
        innovations = sample_innovations(round(utterance.duration * FPS), take_seed)
        # One style for all: the network is not told the style and could only learn its mean.
        style = PERFORMER
        motion = animate(utterance, innovations, style, np.random.default_rng(take_seed))
        remaining_s -= utterance.duration
        yield Take(utterance, motion, innovations, style, held_out)


def build_corpus(takes: list[Take]) -> GeometryCorpus:
    """Put takes one after the other."""
    tracks = [lip_tracks(take.utterance, take.style.loudness_share) for take in takes]
    lengths = [len(take.innovations) for take in takes]
    actions = np.concatenate([take.motion.actions for take in takes])
    coefficients, basis, joints = compress_rotations(
        np.concatenate([take.motion.rotations for take in takes])
    )
    n_frames = [MEL_FRAMES_PER_PICTURE * length for length in lengths]
    spoken, spoken_at = _spoken(takes)
    return GeometryCorpus(
        log_mel=np.concatenate(
            [_encoded_mel(take.utterance)[:n] for take, n in zip(takes, n_frames, strict=True)]
        ),
        actions=actions.astype(np.float16),
        rotation_coefficients=coefficients,
        rotation_basis=basis,
        rotation_joints=joints,
        innovations=np.concatenate([take.innovations for take in takes]).astype(np.float16),
        gap_mm=lip_gap().millimetres(actions).astype(np.float16),
        closure=np.concatenate([closed_pictures(t, n) for t, n in zip(tracks, lengths, strict=True)]),
        phoneme_class=np.concatenate([t.classes[:n] for t, n in zip(tracks, n_frames, strict=True)]),
        class_names=np.array(PHONEME_CLASSES),
        spoken=spoken,
        spoken_at=spoken_at,
        take_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        held_out=np.array([take.held_out for take in takes]),
        voice=np.array([take.utterance.voice.name for take in takes]),
        text=np.array([take.utterance.text for take in takes]),
        style=np.array([astuple(take.style) for take in takes], np.float32),
    )


def _spoken(takes: list[Take]) -> tuple[np.ndarray, np.ndarray]:
    """Characters [P, 6] and beginnings [P], in pictures, of the phonemes of takes that stand one after the other."""
    ids, at, first = [], [], 0
    for take in takes:
        length = len(take.innovations)
        inside = [(FPS * start_s, ipa) for start_s, ipa in take.utterance.phonemes if FPS * start_s < length]
        ids.append(encode_ids([ipa for _, ipa in inside]).numpy().astype(np.int16))
        at.append(np.array([first + start for start, _ in inside], np.float32))
        first += length
    return np.concatenate(ids), np.concatenate(at)


def _encoded_mel(utterance: Utterance) -> np.ndarray:
    return encode_log_mel(power_mel(torch.from_numpy(utterance.samples)).numpy())


def describe(corpus: GeometryCorpus) -> dict[str, object]:
    """What a reader wants to know about a corpus before training on it."""
    lengths = np.diff(corpus.take_start)
    languages: Counter[str] = Counter()
    for voice, length in zip(corpus.voice, lengths, strict=True):
        languages[str(voice).partition("+")[0]] += int(length)
    gap = corpus.gap_mm.astype(np.float32)
    speech = corpus.phoneme_class[::MEL_FRAMES_PER_PICTURE] != 0
    blinks = (corpus.innovations[:, BLINK_ONSET] > 0.5).sum()
    total_s = len(gap) / FPS
    blink = corpus.actions[:, load_template().action("eyeBlinkLeft")]
    return {
        "hours": round(total_s / 3600, 3),
        "takes": len(lengths),
        "held_out_hours": round(float(lengths[corpus.held_out].sum()) / FPS / 3600, 3),
        "voices": len(set(corpus.voice.tolist())),
        "minutes_by_language": {k: round(v / FPS / 60, 1) for k, v in languages.most_common()},
        "gap_mm_percentiles_5_25_50_75_95": {
            "speech": np.percentile(gap[speech], [5, 25, 50, 75, 95]).round(2).tolist(),
            "silence": np.percentile(gap[~speech], [5, 25, 50, 75, 95]).round(2).tolist(),
        },
        "closed_pictures_share": round(float(corpus.closure.mean()), 4),
        "closed_pictures_gap_mm_percentiles_50_95_100": np.percentile(gap[corpus.closure], [50, 95, 100])
        .round(3)
        .tolist(),
        "blinks_per_minute": round(float(blinks / total_s * 60), 2),
        "pictures_with_lids_closing_share": round(float((blink > 0.5).mean()), 4),
        "phoneme_class_share": {
            name: round(float((corpus.phoneme_class == index).mean()), 4)
            for index, name in enumerate(corpus.class_names.tolist())
        },
        "rotation_coefficients": corpus.rotation_coefficients.shape[1],
    }


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AvatarBenchError("E602", "the folder cannot be made", where=folder, got=str(error)) from error


def main(arguments: list[str] | None = None) -> int:
    """Make the corpus; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0, help="length of all takes together")
    parser.add_argument("--out", type=Path, required=True, help="folder for geometry.npz and report.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--recorded", type=float, default=0.0, help="share of takes by recorded voices (flite, Festival)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    started = time.perf_counter()
    try:
        _make_folder(options.out)
        with ExitStack() as stack:
            synthesizer = stack.enter_context(SpeechSynthesizer(MAX_RANDOM_VARIANTS, options.seed))
            recorded = stack.enter_context(RecordedVoices()) if options.recorded else None
            takes = draw_takes(synthesizer, options.hours, options.seed, recorded, options.recorded)
            corpus = build_corpus(list(takes))
        path = options.out / "geometry.npz"
        save_corpus(path, corpus)
        report = describe(corpus)
        with atomic_write(options.out / "report.json") as temporary:
            Path(temporary).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except AvatarBenchError as error:
        _log.error("%s", error)
        return 3
    _log.info("%s", json.dumps(report, indent=2, ensure_ascii=False))
    megabytes, seconds = path.stat().st_size / 1e6, time.perf_counter() - started
    _log.info("%s: %.1f MB in %.0f s", path, megabytes, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
