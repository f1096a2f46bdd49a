"""Speech of many synthetic voices, with the times of its phonemes and words.

espeak-ng speaks in a process of its own (`espeak_worker.py`). Besides its stock voices it gets random ones:
files of formant, breath, tone and roughness settings, because a network trained on few voices does not carry
over to people.
"""

from __future__ import annotations

import importlib.util
import random
import re
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from scipy.signal import resample_poly

from media.errors import AvatarBenchError
from reference_model.corpus.speech.worker_process import WorkerProcess

__all__ = ["MAX_RANDOM_VARIANTS", "SAMPLE_RATE", "SpeechSynthesizer", "Utterance", "Voice"]

SAMPLE_RATE = 16_000

MAX_RANDOM_VARIANTS = 90
"""espeak-ng knows at most 350 voice files; beyond that, whole languages vanish without a word."""

# Not voices of people; names with a space cannot be asked for.
_UNUSABLE_VARIANTS = {"Demonic", "fast", "Mr serious"}

_FEMALE_PITCH_HZ = 140
"""Lowest pitch of a voice file from which an unmarked voice counts as female."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks, and how."""

    language: str = "en-us"
    """espeak-ng's name of the language, such as "en" (British), "en-us", "de", "cmn"."""
    variant: str = ""
    """Name of a variant of `SpeechSynthesizer.variants`; empty for the language's own voice."""
    rate: int = 160
    """Words a minute, 80 to 450."""
    pitch: int = 50
    """0 to 100."""
    pitch_range: int = 50
    """0 (monotone) to 100."""

    @property
    def name(self) -> str:
        """Language and variant as espeak-ng writes them."""
        return f"{self.language}+{self.variant}" if self.variant else self.language


@dataclass(frozen=True, slots=True)
class Utterance:
    """A spoken text."""

    samples: np.ndarray
    """Sound at 16 kHz in [-1, 1], [S] float32."""
    phonemes: list[tuple[float, str]]
    """Start in seconds and IPA of each phoneme; empty IPA is a pause. U+02C8 and U+02CC mark stress."""
    words: list[tuple[float, str]]
    """Start in seconds and spelling of each word."""
    text: str
    voice: Voice = field(default_factory=Voice)

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SAMPLE_RATE

    @staticmethod
    def joined(parts: list[Utterance]) -> Utterance:
        """Utterances of one voice, one after the other."""
        starts = np.cumsum([0.0, *(part.duration for part in parts)])
        return Utterance(
            samples=np.concatenate([part.samples for part in parts]),
            phonemes=[
                (at + s, ipa) for at, part in zip(starts, parts, strict=False) for s, ipa in part.phonemes
            ],
            words=[(at + s, word) for at, part in zip(starts, parts, strict=False) for s, word in part.words],
            text=" ".join(part.text for part in parts),
            voice=parts[0].voice,
        )

    def padded(self, before_s: float, after_s: float) -> Utterance:
        """The same utterance with silence around it."""
        before, after = round(before_s * SAMPLE_RATE), round(after_s * SAMPLE_RATE)
        shift = before / SAMPLE_RATE
        return replace(
            self,
            samples=np.pad(self.samples, (before, after)),
            phonemes=[(0.0, "")] * (before > 0) + [(start + shift, ipa) for start, ipa in self.phonemes],
            words=[(start + shift, word) for start, word in self.words],
        )


class SpeechSynthesizer:
    """A running espeak-ng process; a context manager.

    Args:
        n_random_variants: How many random voices to make, at most 90, called "random00", "random01", ...
        seed: Of the random voices.

    Raises:
        AvatarBenchError: E603, the package espeakng-loader is missing.
    """

    def __init__(self, n_random_variants: int = 0, seed: int = 0) -> None:
        if not 0 <= n_random_variants <= MAX_RANDOM_VARIANTS:
            raise ValueError(
                f"n_random_variants must be in 0..{MAX_RANDOM_VARIANTS}, got {n_random_variants}"
            )
        stock = _stock_data_folder()
        self._folder = tempfile.TemporaryDirectory(prefix="espeak-voices-")
        data = Path(self._folder.name) / "espeak-ng-data"
        random_variants = _make_data_folder(data, stock, n_random_variants, random.Random(seed))
        self.languages = _languages(stock)
        """Names of all languages that can be asked for."""
        self.variants = sorted(_stock_variants(stock)) + random_variants
        """Names of all variants, stock ones first."""
        self.genders = {name: _variant_gender(data / "voices" / "!v" / name) for name in self.variants}
        """"female" or "male" by variant, as its voice file says, else by its lowest pitch."""
        self._process = WorkerProcess(Path(__file__).with_name("espeak_worker.py"), [str(data)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove its files."""
        self._process.close()
        self._folder.cleanup()

    def speak(self, text: str, voice: Voice | None = None) -> Utterance:
        """Speak a text.

        Args:
            text: What to say, in the spelling of the voice's language.
            voice: Who says it.

        Returns:
            The utterance; its sound starts and ends about with the speech.

        Raises:
            AvatarBenchError: E504, the language or variant does not exist; E203, the text has nothing to say.
        """
        voice = Voice() if voice is None else voice
        self._check(voice)
        header, sound = self._process.ask(
            {
                "text": text,
                "voice": voice.name,
                "rate": voice.rate,
                "pitch": voice.pitch,
                "pitch_range": voice.pitch_range,
            }
        )
        if "error" in header:
            raise AvatarBenchError("E504", header["error"], got=voice.name)
        pcm = np.frombuffer(sound, np.int16).astype(np.float32) / 32768.0
        if not pcm.any():
            raise AvatarBenchError("E203", "the text makes no sound", got=repr(text))
        samples = resample_poly(pcm, SAMPLE_RATE, header["sample_rate"]).astype(np.float32)
        return Utterance(
            samples=np.clip(samples, -1.0, 1.0),
            phonemes=[(float(start), ipa) for start, ipa in header["phonemes"]],
            words=[(float(start), text[at : at + length]) for start, at, length in header["words"]],
            text=text,
            voice=voice,
        )

    def _check(self, voice: Voice) -> None:
        for option, value, known in (
            ("language", voice.language, self.languages),
            ("variant", voice.variant, ["", *self.variants]),
        ):
            if value not in known:
                raise AvatarBenchError(
                    "E504",
                    f"espeak-ng has no {option} of this name",
                    where=option,
                    expected="one of " + ", ".join(name for name in known if name),
                    got=repr(value),
                )


def _stock_data_folder() -> Path:
    """espeak-ng's own data, found without importing the package that would load the library."""
    spec = importlib.util.find_spec("espeakng_loader")
    if spec is None or spec.origin is None:
        raise AvatarBenchError(
            "E603",
            "the package espeakng-loader is missing; without it there is no synthesised speech",
            fix="install it with: pip install 'avatarbench[train]'",
        )
    return Path(spec.origin).with_name("espeak-ng-data")


def _languages(data: Path) -> list[str]:
    # espeak-ng finds a language by the name of its file; the aliases inside the files fail beside a variant.
    return sorted(file.name.lower() for file in (data / "lang").rglob("*") if file.is_file())


def _stock_variants(data: Path) -> list[str]:
    names = (file.name for file in (data / "voices" / "!v").iterdir())
    return [name for name in names if name not in _UNUSABLE_VARIANTS]


def _variant_gender(path: Path) -> str:
    text = path.read_text("utf-8", errors="replace").lower()
    told = re.search(r"^gender\s+(female|male)", text, re.MULTILINE)
    if told:
        return told[1]
    pitch = re.search(r"^pitch\s+(\d+)", text, re.MULTILINE)
    return "female" if pitch and int(pitch[1]) >= _FEMALE_PITCH_HZ else "male"  # the built-in voice is male


def _make_data_folder(target: Path, stock: Path, n_random: int, rng: random.Random) -> list[str]:
    """Link the stock data into a new folder and add random variants; returns their names."""
    variants = target / "voices" / "!v"
    variants.mkdir(parents=True)
    for source, folder in ((stock, target), (stock / "voices" / "!v", variants)):
        for entry in source.iterdir():
            if entry.name != "voices":
                (folder / entry.name).symlink_to(entry)
    names = [f"random{index:02d}" for index in range(n_random)]
    for name in names:
        (variants / name).write_text(_random_variant(name, rng), "utf-8")
    return names


def _random_variant(name: str, rng: random.Random) -> str:
    """The text of a voice file: a vocal tract of random length, pitch, breath, tone and roughness."""
    female = rng.random() < 0.5
    tract = rng.uniform(1.05, 1.28) if female else rng.uniform(0.86, 1.08)  # formant frequencies, relative
    pitch_hz = rng.uniform(150, 240) if female else rng.uniform(75, 135)
    lines = [
        "language variant",
        f"name {name}",
        f"gender {'female' if female else 'male'}",
        f"pitch {pitch_hz:.0f} {pitch_hz * rng.uniform(1.2, 1.7):.0f}",
    ]
    for formant in range(9):
        frequency = 100 * tract * rng.uniform(0.94, 1.06)  # percent, as strength and width
        lines.append(
            f"formant {formant} {frequency:.0f} {rng.uniform(60, 125):.0f} {rng.uniform(80, 190):.0f}"
        )
    lines += [f"flutter {rng.randint(0, 10)}", f"roughness {rng.randint(0, 5)}"]
    if rng.random() < 0.5:
        lines.append("breath " + " ".join(str(rng.randint(0, 6)) for _ in range(8)))
    if rng.random() < 0.4:
        lines.append(f"voicing {rng.randint(60, 130)}")
    if rng.random() < 0.4:
        lines.append(f"consonants {rng.randint(60, 150)} {rng.randint(60, 150)}")
    if rng.random() < 0.5:
        low, middle, high, top = (rng.randint(60, 255) for _ in range(4))
        lines.append(f"tone 100 {low} 600 {middle} 1200 {high} 3000 {top}")
    if rng.random() < 0.25:
        lines.append(f"klatt {rng.randint(1, 5)}")
    return "\n".join(lines) + "\n"
