"""The tables that describe a finished corpus: light by stratum, detectors against the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from media.errors import AvatarBenchError
from reference_model.corpus.pipeline.detector_check import Sample, Seen, table
from reference_model.corpus.pipeline.exposure import exposure_table, main
from reference_model.corpus.pipeline.plan import Corpus, CorpusSpec, open_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(tmp_path, CorpusSpec(split="train", n_people=6, n_clips=2))


def record(light: float | None, passed: bool = True, burnt: float = 0.0) -> dict:
    measures = {"face_luminance": light, "clipped_share": burnt}
    return {"attempt": 0, "key": "k", "passed": passed, "reasons": [], "measures": measures}


def write_filters(corpus: Corpus, records: dict[str, list[dict]]) -> None:
    (corpus.folder / "filters").mkdir()
    for clip, judged in records.items():
        corpus.path("filters", clip, "json").write_text(json.dumps(judged))


def row_of(table: str, stratum: str) -> list[str]:
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {stratum} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_light_is_listed_by_stratum_from_the_last_attempt(corpus: Corpus) -> None:
    light = {clip.id: 0.1 * corpus.attributes[clip.person].skin_tone for clip in corpus.clips.values()}
    clip = next(iter(corpus.clips))
    tone = corpus.attributes[corpus.clips[clip].person].skin_tone
    records = {name: [record(value)] for name, value in light.items()}
    records[clip] = [record(0.99), record(0.1 * tone, passed=False, burnt=0.25)]
    write_filters(corpus, records)
    told = exposure_table(corpus)
    n_clips, n_passed, levels, burnt = row_of(told, f"skin_tone {tone}")
    clips_of_tone = sum(corpus.attributes[c.person].skin_tone == tone for c in corpus.clips.values())
    assert int(n_clips) == clips_of_tone and int(n_passed) == clips_of_tone - 1
    assert levels.split() == [f"{0.1 * tone:.3f}"] * 3  # the first attempt's 0.99 is not counted
    assert burnt == "0.250"
    sexes = [int(row_of(told, f"sex {sex}")[0]) for sex in ("female", "male")]
    assert sum(sexes) == len(corpus.clips)


def test_a_clip_without_a_face_has_no_light(corpus: Corpus) -> None:
    clip = next(iter(corpus.clips))
    write_filters(corpus, {clip: [record(None)]})
    with pytest.raises(AvatarBenchError, match="E407"):
        exposure_table(corpus)


def test_an_unfiltered_corpus_is_said_so(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", str(corpus.folder)]) == 3
    assert "filters" in capsys.readouterr().err


def test_detectors_are_compared_with_the_truth() -> None:
    alpha = np.zeros((10, 10), np.uint8)
    alpha[:, :5] = 255
    arms = np.array([[0, 0], [10, 0], [0, 5], [10, 5], [0, 9], [10, 9]], float)
    right, half = alpha > 127, np.ones((10, 10), bool)
    made = [
        (Sample("a", alpha, alpha, gap, arms, hands_shown=k > 0), seen)
        for k, (gap, seen) in enumerate(
            [
                (0.0, Seen(1, 0.01, 0.2, 2, arms, right)),
                (0.1, Seen(1, 0.11, 0.2, 2, arms + np.array([2, 0]), right)),
                (0.2, Seen(2, 0.21, 0.2, 1, arms + np.array([4, 0]), right)),
                (0.3, Seen(0, float("nan"), float("nan"), 0, None, half)),
                (0.2, Seen(1, 0.21, 0.4, 2, arms + np.array([2, 0]), right)),
                (0.1, Seen(1, 0.11, 0.4, 2, arms + np.array([2, 0]), right)),
            ]
        )
    ]
    told = table(made, [Seen(1, 0.0, 0.3, 2, arms, right), Seen(1, 0.0, 0.3, 1, None, right)])
    assert row_of(told, "exactly one face") == ["0.667", "1.000"]
    assert row_of(told, "pictures whose truth shows both hands")[0] == "5"
    assert row_of(told, "both hands found there") == ["0.600", "0.500"]
    assert row_of(told, "pose found") == ["0.833", "0.500"]
    assert row_of(told, "arms from their true places, shoulder widths, median")[0] == "0.200"
    assert row_of(told, "mask IoU with the true alpha, mean (least)")[0] == "0.917 (0.500)"
    assert row_of(told, "the same, all pictures")[0] == "1.000"
