"""A small board with everything that a page can show, made without running a method."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmark.hashing import sha256_file
from benchmark.results import write_json
from leaderboard.schema import ENTRY, Submission
from leaderboard.site.made_entries import make_entry
from media.video import write_video

PEOPLE, CLIPS = 12, 2


def scores(merit: float, seed: int = 0) -> np.ndarray:
    """Merit, plus what is peculiar to a person (the same for all methods) and to a clip."""
    people = np.random.default_rng(99).normal(size=(PEOPLE, 1))
    return merit + 0.4 * people + 0.2 * np.random.default_rng(seed).normal(size=(PEOPLE, CLIPS))


def submission(name: str, **other: object) -> Submission:
    facts = {"submitter": "A lab", "date": "2026-03-01", "test_data_seen": False, "display_name": name}
    return Submission.model_validate(facts | other)


def make_small_board(folder: Path) -> Path:
    make_entry(folder, "strong", scores(1.5, 1), submission("Strong", submitter="Lab One"))
    make_entry(folder, "twin", scores(1.5, 2), submission("Twin"))
    make_entry(folder, "weak", scores(-1.5, 3), submission("Weak", submitter="=Lab Two"))
    older = submission("Weak", submitter="=Lab Two", date="2025-12-24")
    make_entry(folder, "weak", scores(-2.5, 4), older, version="0.9")
    make_entry(folder, "ground_truth", scores(3.0, 5), submission("Truth"), privileged=True)
    make_entry(folder, "patchy", scores(2.5, 6), submission("Patchy"), missing=4)
    make_entry(folder, "knows", scores(2.5, 7), submission("Knows", test_data_seen=True))
    return folder


def add_video(entry: Path, sample_id: str, value: int, content: bytes | None = None) -> Path:
    """Write a short video of one grey, or any content, and name it in the entry as what was scored."""
    path = entry / "videos" / f"{sample_id}.mp4"
    path.parent.mkdir(exist_ok=True)
    write_video(path, [np.full((64, 48, 3), value, np.uint8)] * 10, 25.0)
    if content is not None:
        path.write_bytes(content)
    digest = sha256_file(path)
    data = json.loads((entry / ENTRY).read_text())
    for prediction in data["predictions"]:
        if prediction["sample_id"] == sample_id:
            prediction["sha256"] = digest
    data["files"][f"videos/{sample_id}.mp4"] = digest
    write_json(entry / ENTRY, data)
    return path
