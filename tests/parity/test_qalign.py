"""IQA and ASE against pyiqa's Q-Align, on one tiny checkpoint with random weights and the same filmed frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.hashing import sha256_file
from benchmark.metrics.definition import Observations
from benchmark.metrics.quality_qalign import EXTRACTOR, ase, iqa, level_score
from benchmark.networks import Networks
from benchmark.parity import ParityCase, check_parity
from benchmark.qalign_extractors import QALIGN, WORDS, QAlignSeconds
from benchmark.qalign_process import QAlignProcess
from benchmark.weights import WEIGHTS, weights_folder
from benchmark.weights_lock import FileFacts, record_file
from media.video import read_frames

PYIQA = "pyiqa 0.1.16, Pillow resizing"
FP16_STEP = 2.0**-8
"""pyiqa rounds a score between 2 and 4 to steps of 2^-9, and the five probabilities before it."""
METRICS = {"quality": ("iqa", iqa), "aesthetics": ("ase", ase)}


@dataclass(frozen=True)
class Parity:
    frames: np.ndarray  # [T, H, W, 3], three seconds of different pictures and a rest
    ours: dict[str, np.ndarray]  # by word, logits [3, 5]
    canonical: dict[str, np.ndarray]
    process: QAlignProcess
    checkpoint: Path

    def logits(self, frames: Sequence[np.ndarray], word: str) -> np.ndarray:
        """Ours for each of some frames, [n, 5]."""
        return np.array([self.process.logits(frame, [word])[word] for frame in frames])

    def sampled(self) -> list[np.ndarray]:
        return [self.frames[index] for index in (0, 25, 50)]


def filmed(data: Path) -> np.ndarray:
    """Three seconds at 25 fps of two filmed people, and 20 frames that must not count; 270 x 480 px."""
    woman, man = (data / "video" / name for name in ("woman_coat.mp4", "man_white_shirt.mp4"))
    frames = [
        *islice(read_frames(woman, fps=25), 25),
        *islice(read_frames(man, fps=25), 25),
        *islice(read_frames(woman, fps=25, start_s=2.0), 45),
    ]
    return np.stack([cv2.resize(frame, (270, 480), interpolation=cv2.INTER_AREA) for frame in frames])


@pytest.fixture(scope="module")
def parity(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory, run_canonical: Callable
) -> Iterator[Parity]:
    pytest.importorskip("pyiqa")
    folder = tmp_path_factory.mktemp("weights")
    weight = WEIGHTS["one_align"]
    frames = filmed(shared_data)
    np.savez(folder / "clip.npz", frames=frames, fps=25.0)
    canonical = run_canonical("qalign_pyiqa.py", folder / weight.file, folder / "clip.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVATARBENCH_WEIGHTS", str(folder))
        patch.setenv("AVATARBENCH_CACHE", str(folder / "cache"))
        weights_folder().mkdir(parents=True)
        for name in weight.names:  # as the first fetch records them
            facts = FileFacts(bytes=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
            record_file(weights_folder(), weight.id, name, facts, weight.revision)
        with Networks() as networks:
            extractor = QAlignSeconds(networks)
            for frame in frames:
                extractor.add(frame)
            ours = dict(extractor.arrays())
            yield Parity(frames, ours, canonical, networks.get(QALIGN), folder / weight.file)


def test_made_weights_tell_pictures_and_words_apart(parity: Parity):
    assert np.ptp(parity.canonical["quality"]) > 0.1
    assert np.ptp(parity.canonical["aesthetics"]) > 0.1
    assert np.abs(parity.canonical["quality"] - parity.canonical["aesthetics"]).min() > 0.1


@pytest.mark.parametrize("word", WORDS)
def test_logits_are_those_of_pyiqa_to_the_bit(parity: Parity, word: str):
    sampled = parity.sampled()
    height, width = sampled[0].shape[:2]
    middle = slice(
        (height - width) // 2, (height + width) // 2
    )  # what CLIP's centre crop leaves without padding
    check_parity(
        ParityCase(
            name=f"{METRICS[word][0]}: logits of the five levels",
            canonical_code=PYIQA,
            ours=parity.ours[word],
            canonical=parity.canonical[f"{word}_logits"],
            tolerance=0.0,
            mutants={
                "BGR for RGB": parity.logits([frame[..., ::-1] for frame in sampled], word),
                "no padding": parity.logits([frame[middle] for frame in sampled], word),
                "wrong word": parity.logits(sampled, {"quality": "aesthetics", "aesthetics": "aesthetic"}[word]),
                "off by one frame": parity.logits([parity.frames[index] for index in (1, 26, 51)], word),
            },
        )
    )  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_scores_are_those_of_pyiqa_to_the_resolution_of_float16(parity: Parity, word: str):
    name, metric = METRICS[word]
    observations = Observations({EXTRACTOR: parity.ours}, {}, {}, 270, 480)
    canonical = parity.canonical[word].astype(np.float64).mean()
    value = metric(observations).value
    sampled = parity.sampled()
    first_frames = level_score(parity.logits(sampled[:1], word)).mean()
    swapped = level_score(parity.logits([frame[..., ::-1] for frame in sampled], word)).mean()
    check_parity(
        ParityCase(
            name=f"{name}: score of a clip",
            canonical_code=PYIQA,
            ours=np.array(value),
            canonical=np.array(canonical),
            tolerance=FP16_STEP,
            unit="absolute",
            mutants={
                "0..1 weights": np.array((value - 1) / 4),
                "BGR for RGB": swapped,
                "first frame alone": first_frames,
                "levels from bad to excellent": level_score(parity.ours[word][:, ::-1]).mean(),
            },
        )
    )  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_resizing_of_torchvision_moves_scores_by_little(parity: Parity, word: str):
    check_parity(
        ParityCase(
            name=f"{METRICS[word][0]}: scores, pyiqa as transformers 5 runs it",
            canonical_code="pyiqa 0.1.16, torchvision resizing",
            ours=level_score(parity.ours[word]),
            canonical=parity.canonical[f"{word}_torchvision"],
            tolerance=0.05,
            unit="absolute",
            mutants={"0..1 weights": (level_score(parity.ours[word]) - 1) / 4},
        )
    )


def test_the_network_sees_the_same_pixels(parity: Parity):
    from benchmark.qalign_model import normalise

    sampled = parity.sampled()
    ours, bgr = (
        np.stack([normalise(frame) for frame in frames]).astype(np.float16)
        for frames in (sampled, [frame[..., ::-1] for frame in sampled])
    )
    rolled = np.roll(ours, 1, axis=-1)
    check_parity(
        ParityCase(
            name="iqa, ase: padded, resized, normalised pixels",
            canonical_code="transformers 5.16 CLIPImageProcessorPil behind pyiqa 0.1.16",
            ours=ours,
            canonical=parity.canonical["pixels"],
            tolerance=0.0,
            mutants={"BGR for RGB": bgr, "one pixel to the right": rolled},
        )
    )


@pytest.mark.parametrize("word", WORDS)
def test_prompt_and_levels_have_the_token_ids_of_the_tokenizer(parity: Parity, word: str):
    from benchmark.qalign import prompt
    from benchmark.qalign_model import level_ids, token_ids

    tokenizer = parity.checkpoint / "tokenizer.model"
    ours = token_ids(tokenizer, prompt(word))
    assert ours == parity.canonical[f"{word}_ids"][0].tolist()
    assert ours[0] == 1 and ours.count(-200) == 1
    assert level_ids(tokenizer) == parity.canonical["level_ids"][0].tolist()
