"""Manifests: every line is read or named, and nothing outside the folder is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from moving_clips import write_clip

from benchmark.hashing import sha256_file
from benchmark.manifest import MINI, Clip, load_dataset, read_manifest, write_manifest
from media.errors import AvatarBenchError

DIGEST = "a" * 64


def line(**changes: object) -> str:
    values = {"id": "one", "identity": "ada", "media": "one.mp4", "sha256": DIGEST}
    return json.dumps(values | changes)


def manifest(folder: Path, *lines: str) -> Path:
    (folder / "manifest.jsonl").write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(AvatarBenchError) as refused:
        load_dataset(folder)
    return str(refused.value)


def test_what_is_written_is_read_back_and_nothing_is_lost(tmp_path: Path):
    clips = load_dataset(MINI).clips
    odd = clips[0].model_copy(
        update={"id": "odd", "transcript": 'two\nlines, a "quote" and \u2028 in it', "duration_s": None}
    )
    sound = {"audio": "odd.wav", "audio_sha256": DIGEST, "recording": "take1"}
    written = [*clips, odd, odd.model_copy(update={"id": "odd-2", **sound})]
    write_manifest(tmp_path / "manifest.jsonl", reversed(written))
    read = load_dataset(tmp_path)
    assert sorted(written, key=lambda clip: clip.id) == list(read.clips)


def test_the_hash_of_an_older_manifest_stands_and_that_of_a_newer_counts_the_new_fields():
    """The hash of the mini data set is part of published results."""
    assert load_dataset(MINI).sha256 == "69f9d82159bf7b182d223988ab0ff649b33c8b2a5eb335c09eac8babc883a9a5"
    one = Clip.model_validate_json(line())
    assert one.content() != one.model_copy(update={"recording": "take1"}).content()


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        ("{", "Expecting property name"),
        ("[1, 2]", "valid dictionary"),
        (line(id="no spaces"), "id: String should match pattern"),
        (line(surprise=1), "surprise: Extra inputs"),
        (line(sha256="abc"), "sha256: String should match pattern"),
        (line(start_s=-1), "start_s: Input should be greater"),
        (line(duration_s=0), "duration_s: Input should be greater"),
        (line(media=""), "media: String should have at least 1"),
        (line(attributes={"age": float("nan")}), "finite number"),
        (line(audio="one.wav"), "audio and audio_sha256 belong together"),
        (line()[:-1] + ', "id": "other"}', "the key 'id' stands in it twice"),
        (line(media="/etc/passwd"), "'/etc/passwd' is an absolute path"),
        (line(media="C:\\film.mp4"), "is an absolute path"),
        (line(media="clips/../../film.mp4"), "leads out of the folder with '..'"),
        (line(audio="../one.wav", audio_sha256=DIGEST), "'../one.wav' leads out"),
        (line(media="a\u0000b"), "cannot be a path"),
        ("[" * 10_000, "nested too deeply"),
    ],
    ids=[
        "broken", "list", "id", "field", "hash", "start", "duration", "empty path", "nan", "audio", "repeated key",
        "absolute", "drive", "dots", "sound outside", "null byte", "deep",
    ],
)  # fmt: skip
def test_a_line_that_is_not_right_is_named_with_its_number(tmp_path: Path, bad: str, got: str):
    said = refusal(manifest(tmp_path, line(id="first"), "", bad, line(id="last")))
    assert said.startswith("E404: line 3 of the manifest is not right\n")
    assert got in said


def test_equal_ids_are_named_with_both_lines(tmp_path: Path):
    said = refusal(manifest(tmp_path, line(), line(id="two"), line(media="two.mp4")))
    assert said.startswith("E404: line 3") and "the id 'one' stands in line 1, too" in said


def test_a_link_that_leads_out_is_refused_and_one_that_stays_inside_is_followed(tmp_path: Path):
    secret = tmp_path / "elsewhere.mp4"
    secret.write_bytes(b"x")
    folder = tmp_path / "set"
    (folder / "store").mkdir(parents=True)
    (folder / "out.mp4").symlink_to(secret)
    (folder / "up").symlink_to(tmp_path)
    (folder / "store/real.mp4").write_bytes(b"x")
    (folder / "in.mp4").symlink_to(folder / "store/real.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    assert load_dataset(manifest(folder, line(media="in.mp4"))).clips[0].media == "in.mp4"
    for media in ("out.mp4", "up/elsewhere.mp4"):
        assert "is a link that leads out of the folder" in refusal(manifest(folder, line(media=media)))
    linked = tmp_path / "link-to-set"
    linked.symlink_to(folder)
    assert load_dataset(manifest(linked, line(media="in.mp4"))).clips  # the folder itself may be a link


def test_all_bad_lines_are_found_and_the_right_ones_kept(tmp_path: Path):
    manifest(tmp_path, line(), "{", line(id="two"), line(id="two"), line(id="x", media="../x"))
    lines, problems = read_manifest(tmp_path / "manifest.jsonl", tmp_path)
    assert [(item.number, item.clip.id) for item in lines] == [(1, "one"), (3, "two")]
    assert ["line 2 of", "line 4 of", "line 5 of"] == [problem.what[:9] for problem in problems]
    assert "line 2 of the manifest is not right; 2 more lines are not right either" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n  \n"], ids=["no bytes", "empty lines"])
def test_a_manifest_without_clips_is_refused_even_beside_videos(tmp_path: Path, text: str):
    write_clip(tmp_path / "one.mp4", 0)
    (tmp_path / "manifest.jsonl").write_text(text)
    assert refusal(tmp_path).startswith("E401: the manifest has no clips")


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff\xfe\x00")
    assert refusal(tmp_path).startswith("E401: the manifest cannot be read")


def test_a_manifest_may_stand_apart_from_its_videos(tmp_path: Path):
    video = write_clip(tmp_path / "videos/one.mp4", 0)
    folder = tmp_path / "set"
    folder.mkdir()
    manifest(folder, line(sha256=sha256_file(video)))
    (folder / "media_root.json").write_text('{"media_root": "../videos"}')
    found = load_dataset(folder)
    assert (found.root / found.clips[0].media).samefile(video)
    assert found.id == "set"
    (folder / "media_root.json").write_text('{"media_root": "nowhere"}')
    assert refusal(folder).startswith("E401: the folder of the videos does not exist")


def test_a_plain_folder_takes_transcripts_attributes_and_deeper_folders(tmp_path: Path):
    for name in ("ada/one.mp4", "ada/session 2/one.mp4", "ben.mp4", "ada/.hidden/two.mp4"):
        write_clip(tmp_path / name, 0)
    (tmp_path / "ada/one.txt").write_text("\ufeffHello there.\n", encoding="utf-8")
    (tmp_path / "ada.json").write_text(
        '{"age": 30, "skin": {"monk": 4}, "languages": ["en", "fr"], "x": null}'
    )
    (tmp_path / "ben.json").write_text('{"age": 61}')
    clips = {clip.id: clip for clip in load_dataset(tmp_path).clips}
    assert sorted(clips) == ["ada_one", "ada_session_2_one", "ben"]
    assert clips["ada_one"].transcript == "Hello there."
    assert clips["ada_session_2_one"].attributes == {"age": 30, "skin.monk": 4, "languages": "en, fr"}
    assert (clips["ben"].transcript, clips["ben"].attributes) == (None, {"age": 61})


def test_two_people_whose_folders_clean_to_one_name_stay_two(tmp_path: Path):
    for name in ("a b/one.mp4", "a_b/one.mp4"):
        write_clip(tmp_path / name, 0)
    assert len({clip.identity for clip in load_dataset(tmp_path).clips}) == 2


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_broken_attributes_are_named(tmp_path: Path, content: str):
    write_clip(tmp_path / "ada/one.mp4", 0)
    (tmp_path / "ada.json").write_text(content)
    assert refusal(tmp_path).startswith("E404: the file of attributes")
    (tmp_path / "ada.json").write_text("{}")
    (tmp_path / "ada/ada.json").write_text("{}")
    assert refusal(tmp_path).startswith("E404: a person has two files of attributes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path):
    folder = tmp_path / "ada"
    folder.mkdir()
    folder.chmod(0)
    try:
        assert refusal(tmp_path).startswith("E401: the folder cannot be read")
    finally:
        folder.chmod(0o700)
