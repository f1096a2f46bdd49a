"""Seamless Interaction (Agrawal et al. 2025; CC BY-NC 4.0) in both layouts in which it is published.

As fetched by interaction or as an unpacked archive, and as it stands on the server:

    <root>/<improvised|naturalistic>/<train|dev|test>/<batch>/<archive>/<file id>.{mp4,wav,json,npz}
    <root>/<improvised|naturalistic>/<train|dev|test>/{video,audio,[metadata/]vad,[metadata/]transcript,...}/<file id>.*

A file id is `V<vendor>_S<session>_I<prompt>_P<participant>`. Vendors number their participants and sessions on
their own (`participants.csv` is keyed by both), so the person is `V<vendor>_P<participant>`; some participants have
a letter behind the number. Files that share V, S and I are the two sides of one conversation.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from benchmark.datasets.cutting import Span, Word
from benchmark.datasets.names import Attributes, attributes_of, read_json_file
from benchmark.datasets.recordings import Found, Recording, Skip, Told, wrong_layout

__all__ = ["find"]

LICENCE = "CC-BY-NC-4.0"
_LABELS, _SPLITS = ("improvised", "naturalistic"), ("train", "dev", "test")
_FILE_ID = re.compile(r"V(?P<vendor>\d+)_S(?P<session>\d+)_I(?P<prompt>\d+)_P(?P<participant>\d+[A-Za-z]*)")
_LAYOUT = (
    "<improvised|naturalistic>/<train|dev|test>/<batch>/<archive>/<file id>.mp4, or .../video/<file id>.mp4"
)

_Facts = Callable[[re.Match[str]], Attributes]


def find(root: Path) -> Found:
    """All sides of all conversations below `root`, by file id.

    Raises:
        AvatarBenchError: E405 when no label folder stands in `root`, or a table at its top has other columns.
    """
    folders = [
        root / label / split for label in _LABELS for split in _SPLITS if (root / label / split).is_dir()
    ]
    if not folders:
        names = sorted(path.name for path in root.iterdir())
        raise wrong_layout(
            "this is not a folder of Seamless Interaction",
            where=root,
            expected=_LAYOUT,
            got=", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "an empty folder",
        )
    tables = [_participants(root), _relationships(root), _prompts(root)]
    found = Found()
    for folder in folders:
        for video in sorted(folder.rglob("*.mp4"), key=lambda path: (path.stem, path)):
            side = _side(root, video, tables)
            (found.skipped if isinstance(side, Skip) else found.recordings).append(side)  # pyright: ignore[reportArgumentType]
        packed = (path.relative_to(root).as_posix() for path in sorted(folder.rglob("*.tar")))
        found.skipped += [Skip(path, "an archive that is not unpacked") for path in packed]
    return found


def _side(root: Path, video: Path, tables: Iterable[_Facts]) -> Recording | Skip:
    path = video.relative_to(root).as_posix()
    parsed = _FILE_ID.fullmatch(video.stem)
    if parsed is None:
        return Skip(path, "its name is no file id", "expected V<vendor>_S<session>_I<prompt>_P<participant>")
    if video.parent.name == "video":
        base = video.parent.parent
        audio = base / "audio" / f"{video.stem}.wav"
        read = partial(_read_published, base, video.stem)
    else:
        audio = video.with_suffix(".wav")
        read = partial(_read_fetched, video.with_suffix(".json"))
    if not audio.is_file():
        return Skip(path, "its sound file is missing", audio.relative_to(root).as_posix())
    label, split = video.relative_to(root).parts[:2]
    attributes: Attributes = {
        "label": label,
        "published_split": split,
        "conversation": video.stem.rpartition("_")[0],
    }
    for facts in tables:
        attributes |= facts(parsed)
    return Recording(
        name=video.stem,
        identity=f"V{parsed['vendor']}_P{parsed['participant']}",
        video=video,
        licence=LICENCE,
        attributes=attributes,
        audio=audio,
        told=read,
    )


def _read_fetched(path: Path) -> Told:
    """Voice activity and words from the one JSON file of a side: `metadata:vad`, `metadata:transcript`."""
    if not path.is_file():
        raise wrong_layout("its voice activity is missing", where=path, expected="a JSON file", got="no file")
    content = read_json_file(path, "E405", "the file of its voice activity")
    keys = sorted(content) if isinstance(content, dict) else []
    if not isinstance(content, dict) or "metadata:vad" not in content:
        raise wrong_layout(
            "its voice activity is missing",
            where=path,
            expected="the key metadata:vad",
            got=f"the keys {', '.join(keys)}" if keys else type(content).__name__,
        )
    return _told(path, content["metadata:vad"], content.get("metadata:transcript") or [])


def _read_published(base: Path, file_id: str) -> Told:
    """Voice activity and words from JSON lines; the server keeps them below `metadata`, the paper's tree does not."""
    found: dict[str, Path] = {}
    for kind in ("vad", "transcript"):
        places = (base / kind, base / "metadata" / kind)
        path = next((p for folder in places if (p := folder / f"{file_id}.jsonl").is_file()), None)
        if path is not None:
            found[kind] = path
    if "vad" not in found:
        raise wrong_layout(
            "its voice activity is missing",
            where=base,
            expected=f"vad/{file_id}.jsonl or metadata/vad/{file_id}.jsonl",
            got="neither",
        )
    lines = {kind: list(_json_lines(path)) for kind, path in found.items()}
    return _told(found["vad"], lines["vad"], lines.get("transcript", []))


def _json_lines(path: Path) -> Iterator[object]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise wrong_layout(
            "a file of JSON lines cannot be read", where=path, expected="UTF-8", got=str(error)
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise wrong_layout(
                    "a line of JSON is broken", where=path, expected="JSON", got=f"line {number}: {error}"
                ) from error


def _told(path: Path, vad: object, transcript: object) -> Told:
    spans: list[Span] = []
    words: list[Word] = []
    try:
        for line in vad:  # pyright: ignore[reportGeneralTypeIssues]
            spans.append((float(line["start"]), float(line["end"])))  # noqa: PERF401 - the last line is told
        for line in transcript:  # pyright: ignore[reportGeneralTypeIssues]
            words += _words(line)
    except (KeyError, TypeError, ValueError) as error:
        raise wrong_layout(
            "its voice activity or transcript has other keys",
            where=path,
            expected="start and end of each span; transcript, start, end and words of each utterance",
            got=f"{type(error).__name__}: {error}",
        ) from error
    return Told(tuple(spans), tuple(words))


def _words(utterance: dict[str, object]) -> Iterator[Word]:
    """The words of an utterance with their times.

    The aligner leaves out the times of what it cannot align, numbers above all: such a word takes the end of the
    one before it, or the start of the utterance.
    """
    start, end = float(utterance["start"]), float(utterance["end"])  # pyright: ignore[reportArgumentType]
    listed = utterance.get("words")
    if not isinstance(listed, list) or not listed:
        yield Word(str(utterance["transcript"]).strip(), start, end)
        return
    moment = start
    for word in listed:
        begin, finish = float(word.get("start", moment)), float(word.get("end", moment))
        yield Word(str(word["word"]).strip(), begin, max(begin, finish))
        moment = max(begin, finish)


def _participants(root: Path) -> _Facts:
    table = _table(root / "participants.csv", ("vendor_id", "participant_id"), _vendor_and_participant)
    return lambda file_id: table.get(_vendor_and_participant(file_id["vendor"], file_id["participant"]), {})


def _relationships(root: Path) -> _Facts:
    table = _table(root / "relationships.csv", ("vendor_id", "session_id"), _numbers)
    return lambda file_id: table.get(_numbers(file_id["vendor"], file_id["session"]), {})


def _prompts(root: Path) -> _Facts:
    table = _table(root / "interactions.csv", ("prompt_hash",), _numbers)

    def facts(file_id: re.Match[str]) -> Attributes:
        row = table.get(_numbers(file_id["prompt"]), {})
        # The texts of the prompts are long, and the same for hundreds of conversations.
        return {name: value for name, value in row.items() if not name.endswith("_text")}

    return facts


def _table(path: Path, key: tuple[str, ...], normalise: Callable[..., str]) -> dict[str, Attributes]:
    """The rows of a table at the top of the data set by key; empty where there is no such table."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as stream:
        reader = csv.DictReader(stream)
        columns = list(reader.fieldnames or [])
        missing = [name for name in key if name not in columns]
        if missing:
            raise wrong_layout(
                f"the table {path.name} has no column {', '.join(missing)}",
                where=path,
                expected=", ".join(key),
                got=", ".join(columns),
            )
        rows = [{name: value for name, value in row.items() if isinstance(value, str)} for row in reader]
    return {
        normalise(*(row.get(name, "") for name in key)): attributes_of(
            {name: value for name, value in row.items() if name and name not in key}
        )
        for row in rows
    }


def _numbers(*texts: str) -> str:
    """Numbers as the tables and the file ids write them alike: "V00", "00" and "0" are one vendor."""
    return "/".join(re.sub(r"^[A-Za-z]*0*(?=\d)", "", text.strip()) for text in texts)


def _vendor_and_participant(vendor: str, participant: str) -> str:
    return _numbers(vendor, participant).upper()
