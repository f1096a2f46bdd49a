"""Small trees in the layouts in which the data sets are published: tiny videos, real names and keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from media.audio import SAMPLE_RATE, write_wav
from media.video import write_video

FPS = 10
TREE_FILE_IDS = ("V00_S0809_I00000582_P0947", "V00_S0809_I00000582_P0948A")

Spans = Iterable[tuple[float, float]]


def bursts(seconds: float, spans: Spans, seed: int = 0, floor: float = 2e-4) -> np.ndarray:  # [S] float32
    """Loud noise within the spans, faint noise elsewhere: 60 dB apart, or none with a floor of 0."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    level = np.full(noise.size, floor)
    for start, end in spans:
        level[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 0.2
    return np.clip(level * noise, -1, 1).astype(np.float32)


def write_talk(path: Path, seconds: float, spans: Spans | None, seed: int = 0, floor: float = 2e-4) -> Path:
    """A video of `seconds` with speech in `spans`; None for no sound track."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 200, (48, 32, 3), dtype=np.uint8)
    frames = (np.roll(ground, index, axis=0) for index in range(round(seconds * FPS)))
    sound = None if spans is None else bursts(seconds, spans, seed, floor)
    write_video(path, frames, FPS, audio=sound, crf=30)
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_json_lines(path: Path, lines: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


VAD = [{"start": 0.5, "end": 2.0}, {"start": 2.2, "end": 3.7}, {"start": 6.0, "end": 6.9}]
"""One clip, 0.5 to 3.7 s, and an utterance too short for a clip."""
TRANSCRIPT = [
    {
        "transcript": "Well, 20 people.",
        "start": 0.6,
        "end": 1.9,
        "words": [
            {"word": "Well,", "start": 0.6, "end": 1.0, "score": 0.9},
            {"word": "20"},  # what the aligner cannot align has no times
            {"word": "people.", "start": 1.4, "end": 1.9, "score": 0.8},
        ],
    },
    {"transcript": "Really?", "start": 6.1, "end": 6.8, "words": []},
]


def seamless_fetched(root: Path) -> Path:
    """Two sides of one conversation as `gather_file_id_data_from_s3` leaves them."""
    folder = root / "improvised" / "dev" / "0000" / "0005"
    for seed, file_id in enumerate(TREE_FILE_IDS):
        write_talk(folder / f"{file_id}.mp4", 8.0, None, seed)
        write_wav(folder / f"{file_id}.wav", np.repeat(bursts(8.0, [(0.5, 3.7)], seed), 3), 48_000)
        write_json(
            folder / f"{file_id}.json",
            {"id": file_id, "metadata:vad": VAD, "metadata:transcript": TRANSCRIPT},
        )
        np.savez(folder / f"{file_id}.npz", **{"smplh:body_pose": np.zeros((2, 63), np.float32)})
    return root


def seamless_published(root: Path, *, metadata: str = "") -> Path:
    """The same as it stands on the server, voice activity and transcript below `metadata` or not."""
    base = root / "improvised" / "dev"
    for seed, file_id in enumerate(TREE_FILE_IDS):
        write_talk(base / "video" / f"{file_id}.mp4", 8.0, None, seed)
        (base / "audio").mkdir(exist_ok=True)
        write_wav(base / "audio" / f"{file_id}.wav", np.repeat(bursts(8.0, [(0.5, 3.7)], seed), 3), 48_000)
        write_json_lines(base / metadata / "vad" / f"{file_id}.jsonl", VAD)
        write_json_lines(base / metadata / "transcript" / f"{file_id}.jsonl", TRANSCRIPT)
    return root


def seamless_tables(root: Path) -> None:
    """The tables at the top; vendors and participants are numbered as the release does it."""
    (root / "participants.csv").write_text(
        "vendor_id,participant_id,extraversion_raw\n00,0947,3.5\n00,0948A,Undisclosed\n01,0947,1.0\n"
    )
    (root / "relationships.csv").write_text(
        "vendor_id,session_id,relationship,relationship_detail\n00,0809,familiar,siblings\n"
    )
    (root / "interactions.csv").write_text(
        "prompt_hash,participant_a_prompt_text,ipc_a,interaction_type\n00000582,Tell a story,APCP,ipc\n"
    )


def casual_v1(root: Path, videos: Mapping[str, tuple[str, bool]]) -> Path:
    """`videos`: path -> (participant, dark)."""
    labels: dict[str, dict] = {}
    for seed, (path, (subject, dark)) in enumerate(videos.items()):
        write_talk(root / path, 5.0, [(1.0, 4.0)], seed)
        label = {"age": "34", "gender": "Female", "skin-type": "5"}
        entry = labels.setdefault(subject, {"files": [], "dark_files": [], "label": label})
        entry["files"].append(path)
        entry["dark_files"] += [path] if dark else []
    write_json(root / "CC_annotations" / "CasualConversations.json", labels)
    return root


def casual_v2_labels(name: str, subject: str) -> dict[str, object]:
    return {
        "video_name": name,
        "subject_id": subject,
        "age": "29",
        "gender": "cis woman",
        "native_language": "portuguese",
        "secondary_languages": ["english", "spanish"],
        "geo_location": {"country": "brazil", "state_region": "bahia"},
        "disability": None,
        "fitzpatrick_skin_tone": {"type": "type iv", "confidence": "high"},
        "monk_skin_tone": {"scale": "scale 5", "confidence": "medium"},
    }


def casual_v2(root: Path, names: Mapping[str, str]) -> Path:
    """`names`: video -> participant; each in the folder of its participant."""
    for seed, (name, subject) in enumerate(names.items()):
        write_talk(root / "CCv2_part_1" / subject / name, 5.0, [(1.0, 4.0)], seed)
    labels = [casual_v2_labels(name, subject) for name, subject in names.items()]
    write_json(root / "CasualConversationsV2.json", labels)
    return root
