"""Importers on small trees in the published layouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import (
    TREE_FILE_IDS,
    casual_v1,
    casual_v2,
    casual_v2_labels,
    seamless_fetched,
    seamless_published,
    seamless_tables,
    write_json,
    write_talk,
)

from benchmark.datasets import importing
from benchmark.datasets.importing import ImportReport, import_dataset
from benchmark.inputs import make_inputs
from benchmark.manifest import load_dataset
from benchmark.protocol import load_protocol
from benchmark.splits import identity_holdout_10
from media.audio import load_audio
from media.errors import AvatarBenchError


def run(layout: str, root: Path, out: Path | None = None) -> ImportReport:
    return import_dataset(layout, root, out, lambda what, done, total: None)


def reasons(report: ImportReport) -> dict[str, str]:
    return {skip.file: skip.reason for skip in report.skipped}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tree a layout, imported by nobody yet; tests copy what they change."""
    folder = tmp_path_factory.mktemp("trees")
    seamless_fetched(folder / "fetched")
    seamless_published(folder / "published")
    casual_v1(
        folder / "v1",
        {
            "CasualConversationsA/1140/1140_02.MP4": ("1140", False),
            "CasualConversationsB/7/7_00.MP4": ("7", True),
        },
    )
    casual_v2(
        folder / "v2", {"0000_portuguese_nonscripted_1.mp4": "0000", "0001_english_scripted_0.mp4": "0001"}
    )
    return folder


@pytest.fixture
def tree(trees: Path, tmp_path: Path):
    return lambda name: Path(shutil.copytree(trees / name, tmp_path / name))


@pytest.mark.parametrize("layout", ["fetched", "published"])
def test_seamless_clips_are_what_its_voice_activity_and_transcript_say(tree, layout: str):
    report = run("seamless-interaction", root := tree(layout))
    assert [clip.id for clip in report.clips] == [f"{name}_0000500" for name in TREE_FILE_IDS]
    first, second = report.clips
    assert (first.identity, second.identity) == ("V00_P0947", "V00_P0948A")
    assert (first.start_s, first.duration_s) == (0.5, 3.2)  # the pause of 0.2 s is inside
    assert first.transcript == "Well, 20 people."  # "20" has no times of its own
    assert first.licence == "CC-BY-NC-4.0"
    assert first.recording == TREE_FILE_IDS[0]
    assert first.attributes == {
        "label": "improvised", "published_split": "dev", "conversation": "V00_S0809_I00000582",
    }  # fmt: skip
    assert report.unused_speech_s == pytest.approx(2 * 0.9)
    assert report.skipped == ()
    assert load_dataset(root).clips == report.clips


def test_both_layouts_of_seamless_give_the_same_clips(trees: Path, tmp_path: Path):
    found = []
    for layout in ("fetched", "published"):
        report = run("seamless-interaction", trees / layout, tmp_path / layout)
        found.append([clip.model_dump(exclude={"media", "audio"}) for clip in report.clips])
    assert found[0] == found[1]


def test_seamless_keeps_its_metadata_below_metadata_on_the_server(tmp_path: Path, trees: Path):
    root = seamless_published(tmp_path, metadata="metadata")
    assert [clip.id for clip in run("seamless-interaction", root).clips] == [
        f"{name}_0000500" for name in TREE_FILE_IDS
    ]


def test_the_sound_of_a_seamless_clip_is_its_own_side_at_the_time_of_the_clip(tree, own_cache: Path):
    root = tree("fetched")
    run("seamless-interaction", root)
    dataset = load_dataset(root)
    inputs = make_inputs(dataset, dataset.clips[0], load_protocol("mini-v1"), seed=0)
    heard = load_audio(inputs.sample.audio)
    side = load_audio(root / (dataset.clips[0].audio or ""))[8000:]
    assert heard.size == 3.2 * 16_000
    assert np.corrcoef(heard, side[: heard.size])[0, 1] > 0.999


def test_the_tables_of_seamless_become_attributes_of_the_right_person(tree):
    seamless_tables(root := tree("fetched"))
    first, second = run("seamless-interaction", root).clips
    assert first.attributes["extraversion_raw"] == "3.5"  # vendor 00's 0947, not vendor 01's
    assert second.attributes["extraversion_raw"] == "Undisclosed"
    assert first.attributes["relationship_detail"] == "siblings"
    assert first.attributes["interaction_type"] == "ipc"
    assert "participant_a_prompt_text" not in first.attributes
    (root / "participants.csv").write_text("vendor,participant\n0,947\n")
    with pytest.raises(
        AvatarBenchError, match=r"E405: (.|\n)*no column vendor_id(.|\n)*got: vendor, participant"
    ):
        run("seamless-interaction", root)


def test_what_seamless_cannot_use_is_skipped_and_told(tree):
    root = tree("fetched")
    folder = root / "improvised/dev/0000/0005"
    first, second = TREE_FILE_IDS
    write_talk(folder / "preview.mp4", 2.0, None)
    (root / "improvised/dev/0000/0006.tar").write_bytes(b"")
    write_json(folder / f"{first}.json", {"id": first, "metadata:vads": []})
    kept = "V00_S0810_I00000582_P0950"
    for suffix in ("mp4", "wav", "json"):
        shutil.copy(folder / f"{second}.{suffix}", folder / f"{kept}.{suffix}")
    (folder / f"{second}.wav").unlink()
    silent = "V00_S0811_I00000582_P0951"
    for suffix in ("mp4", "wav"):
        shutil.copy(folder / f"{kept}.{suffix}", folder / f"{silent}.{suffix}")
    write_json(folder / f"{silent}.json", {"metadata:vad": [{"start": 1, "end": 2}]})
    broken = "V00_S0812_I00000582_P0952"
    for suffix in ("wav", "json"):
        shutil.copy(folder / f"{kept}.{suffix}", folder / f"{broken}.{suffix}")
    (folder / f"{broken}.mp4").write_bytes(b"no video")
    half = "V00_S0814_I00000582_P0954"
    for suffix in ("wav", "json"):
        shutil.copy(folder / f"{kept}.{suffix}", folder / f"{half}.{suffix}")
    whole = (folder / f"{kept}.mp4").read_bytes()
    (folder / f"{half}.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    odd = "V00_S0813_I00000582_P0953"
    for suffix in ("mp4", "wav"):
        shutil.copy(folder / f"{kept}.{suffix}", folder / f"{odd}.{suffix}")
    write_json(folder / f"{odd}.json", {"metadata:vad": [{"begin": 1, "end": 2}]})
    report = run("seamless-interaction", root)
    assert [clip.source for clip in report.clips] == [kept]
    base = "improvised/dev/0000/0005"
    assert reasons(report) == {
        f"{base}/preview.mp4": "its name is no file id",
        "improvised/dev/0000/0006.tar": "an archive that is not unpacked",
        f"{base}/{first}.mp4": "E405 its voice activity is missing",
        f"{base}/{second}.mp4": "its sound file is missing",
        f"{base}/{silent}.mp4": "no 2 s of speech without a longer pause",
        f"{base}/{broken}.mp4": "E206 the video cannot be read",
        f"{base}/{half}.mp4": "E206 the video breaks off",
        f"{base}/{odd}.mp4": "E405 its voice activity or transcript has other keys",
    }
    told = next(skip for skip in report.skipped if skip.file.endswith(f"{first}.mp4"))
    assert "the keys id, metadata:vads" in told.detail
    lines = [json.loads(text) for text in (root / "skipped.jsonl").read_text().splitlines()]
    assert [item["file"] for item in lines] == [skip.file for skip in report.skipped]


def test_a_folder_of_another_layout_is_refused_with_what_it_holds(tree):
    with pytest.raises(
        AvatarBenchError, match=r"E405: this is not a folder of Seamless(.|\n)*got: CC_annotations, Cas"
    ):
        run("seamless-interaction", tree("v1"))
    with pytest.raises(AvatarBenchError, match=r"E405: the label file CasualConversations.json is missing"):
        run("casual-conversations-v1", tree("fetched"))
    with pytest.raises(
        AvatarBenchError, match=r"E504: unknown layout 'seamless'\. Did you mean 'seamless-interaction'"
    ):
        run("seamless", tree("published"))


def test_labels_of_version_1_become_attributes(tree):
    report = run("casual-conversations-v1", tree("v1"))
    first, second = report.clips
    assert (first.id[:8], first.identity, second.identity) == ("1140_02_", "1140", "7")
    assert first.attributes == {"age": "34", "gender": "Female", "skin-type": "5", "dark": False}
    assert second.attributes["dark"] is True
    assert first.start_s == pytest.approx(0.9, abs=0.05)  # speech from 1 to 4 s, with its margin
    assert first.duration_s == pytest.approx(3.2, abs=0.1)


def test_labels_of_version_2_become_attributes_however_deep(tree):
    clip = run("casual-conversations-v2", tree("v2")).clips[0]
    assert clip.identity == "0000"
    assert clip.media == "CCv2_part_1/0000/0000_portuguese_nonscripted_1.mp4"
    assert clip.attributes == {
        "age": "29", "gender": "cis woman", "native_language": "portuguese",
        "secondary_languages": "english, spanish", "geo_location.country": "brazil",
        "geo_location.state_region": "bahia", "fitzpatrick_skin_tone.type": "type iv",
        "fitzpatrick_skin_tone.confidence": "high", "monk_skin_tone.scale": "scale 5",
        "monk_skin_tone.confidence": "medium",
    }  # fmt: skip


def test_version_2_labels_may_be_keyed_by_the_video(tree):
    root = tree("v2")
    listed = run("casual-conversations-v2", root).clips
    path = root / "CasualConversationsV2.json"
    labels = {entry.pop("video_name"): entry for entry in json.loads(path.read_text())}
    write_json(path, labels)
    assert run("casual-conversations-v2", root).clips == listed


@pytest.mark.parametrize(
    ("layout", "name", "content", "keys"),
    [
        (
            "v1",
            "CC_annotations/CasualConversations.json",
            {"7": {"videos": [], "label": {}}},
            "label, videos",
        ),
        ("v2", "CasualConversationsV2.json", [{"video": "a.mp4", "subject_id": "1"}], "subject_id, video"),
        ("v2", "CasualConversationsV2.json", {"a.mp4": {"person": "1"}}, "person, video_name"),
    ],
)
def test_a_label_file_with_other_keys_is_refused_with_the_keys_it_has(tree, layout, name, content, keys: str):
    root = tree(layout)
    write_json(root / name, content)
    with pytest.raises(
        AvatarBenchError, match=rf"E405: the label file has other keys(.|\n)*got: the keys {keys}"
    ):
        run(f"casual-conversations-{layout}", root)


def test_labelled_and_stored_videos_that_do_not_match_are_told(tree):
    root = tree("v2")
    write_talk(root / "CCv2_part_2/0009/0009_hindi_scripted_0.mp4", 3.0, [(0.5, 2.9)])
    shutil.copytree(root / "CCv2_part_1/0001", root / "CCv2_part_3/0001")
    labels = json.loads((root / "CasualConversationsV2.json").read_text())
    write_json(root / "CasualConversationsV2.json", [*labels, casual_v2_labels("0002_x.mp4", "0002")])
    report = run("casual-conversations-v2", root)
    assert [clip.identity for clip in report.clips] == ["0000"]
    assert reasons(report) == {
        "0002_x.mp4": "labelled, but not in the folder",
        "0001_english_scripted_0.mp4": "several files have its name",
        "CCv2_part_1/0001/0001_english_scripted_0.mp4": "in the folder, but not labelled",
        "CCv2_part_3/0001/0001_english_scripted_0.mp4": "in the folder, but not labelled",
        "CCv2_part_2/0009/0009_hindi_scripted_0.mp4": "in the folder, but not labelled",
    }


def own_folder(root: Path) -> Path:
    write_talk(root / "ada/short.mp4", 4.0, [(0.5, 1.0), (2.5, 3.0)], 1)
    write_talk(root / "ada/long.mp4", 14.0, [(1.0, 4.0), (6.0, 12.5)], 2)
    write_talk(root / "ben/mute.mp4", 4.0, None, 3)
    write_talk(root / "ben/quiet.mp4", 4.0, [], 4)
    write_talk(root / "ben/blink.mp4", 1.0, [(0.2, 0.8)], 5)
    (root / "ada/short.txt").write_text("Hello.")
    (root / "ada/long.txt").write_text("Hello. Good bye.")
    (root / "ada.json").write_text('{"age": 30}')
    return root


def test_a_folder_of_ones_own_keeps_short_videos_whole_and_cuts_long_ones(tmp_path: Path):
    report = run("folder", own_folder(tmp_path))
    found = {clip.id: clip for clip in report.clips}
    whole = found.pop("ada_short")  # as it is called without an import
    assert (whole.start_s, whole.duration_s, whole.transcript) == (0.0, 4.0, "Hello.")
    assert whole.attributes == {"age": 30}
    assert [round(clip.start_s) for clip in found.values()] == [1, 6]
    assert {clip.recording for clip in found.values()} == {"ada_long"}
    assert {clip.transcript for clip in found.values()} == {
        None
    }  # nobody knows which words are in which part
    assert reasons(report) == {
        "ben/mute.mp4": "E202 the file has no sound",
        "ben/quiet.mp4": "no 2 s of speech without a longer pause",
        "ben/blink.mp4": "no 2 s of speech without a longer pause",
    }
    identity_holdout_10(load_dataset(tmp_path))


def test_a_second_import_reads_no_file_again_and_writes_the_same_bytes(tmp_path: Path, monkeypatch):
    root = own_folder(tmp_path)
    first = run("folder", root)
    written = (root / "manifest.jsonl").read_bytes()
    read: list[str] = []
    for name in ("sha256_file", "whole_duration_s", "load_audio"):
        real = getattr(importing, name)
        monkeypatch.setattr(
            importing,
            name,
            lambda path, real=real, name=name: (read.append(f"{name} {path.name}"), real(path))[1],
        )
    (root / "manifest.jsonl").unlink()
    second = run("folder", root)
    assert read == ["load_audio mute.mp4"]  # a failure is not kept
    assert (second.n_learnt, second.n_reused) == (0, first.n_learnt)
    assert (root / "manifest.jsonl").read_bytes() == written
    write_talk(root / "ada/short.mp4", 5.0, [(0.5, 1.0)], 9)
    third = run("folder", root)
    assert sorted(set(read)) == sorted(
        ["load_audio mute.mp4", "load_audio short.mp4", "sha256_file short.mp4", "whole_duration_s short.mp4"]
    )
    assert third.n_learnt == 3


def test_an_interrupted_import_goes_on_and_a_torn_line_costs_one_fact(tmp_path: Path):
    root = own_folder(tmp_path / "a")
    shutil.copytree(root, tmp_path / "b")
    run("folder", tmp_path / "b")

    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset("folder", root, None, stop)
    assert not (root / "manifest.jsonl").exists()
    facts = root / ".import-facts.jsonl"
    kept = facts.read_text().splitlines()
    assert len(kept) == 6  # three facts of two videos
    facts.write_text("\n".join(kept)[:-20])  # a crash tore the last line
    report = run("folder", root)
    assert report.n_reused == 5
    assert (root / "manifest.jsonl").read_bytes() == (tmp_path / "b/manifest.jsonl").read_bytes()
    assert not [path for path in root.rglob(".*") if path.name != ".import-facts.jsonl"]


def test_the_manifest_may_be_written_elsewhere_and_the_data_set_stays_untouched(tree, tmp_path: Path):
    root = tree("v1")
    before = sorted(root.rglob("*"))
    report = run("casual-conversations-v1", root, tmp_path / "sets" / "cc1")
    assert sorted(root.rglob("*")) == before
    found = load_dataset(tmp_path / "sets" / "cc1")
    assert found.id == "cc1" and found.clips == report.clips
    assert all((found.root / clip.media).is_file() for clip in found.clips)
    assert found.sha256 == load_dataset(run("casual-conversations-v1", root).manifest.parent).sha256


def test_a_manifest_by_somebody_else_is_never_written_over(tree):
    root = tree("v1")
    (root / "manifest.jsonl").write_text("precious")
    with pytest.raises(AvatarBenchError, match="E504: a manifest stands there that no import has written"):
        run("casual-conversations-v1", root)
    assert (root / "manifest.jsonl").read_text() == "precious"


def test_a_video_that_is_a_link_out_of_the_folder_is_skipped(tree, tmp_path: Path):
    root = tree("v1")
    video = root / "CasualConversationsB/7/7_00.MP4"
    video.rename(tmp_path / "outside.mp4")
    video.symlink_to(tmp_path / "outside.mp4")
    report = run("casual-conversations-v1", root)
    assert [clip.identity for clip in report.clips] == ["1140"]
    assert "leads out of the folder" in report.skipped[0].reason


def test_a_data_set_without_a_usable_video_says_why(tmp_path: Path):
    write_talk(tmp_path / "ben/mute.mp4", 4.0, None)
    with pytest.raises(AvatarBenchError, match=r"E401: no file(.|\n)*1 x E202 the file has no sound"):
        run("folder", tmp_path)
    assert not (tmp_path / "manifest.jsonl").exists()


def test_recordings_of_one_name_are_told_apart(tmp_path: Path):
    names = {"CasualConversationsA/1/1_00.MP4": ("1", False), "CasualConversationsB/1/1_00.MP4": ("2", False)}
    report = run("casual-conversations-v1", casual_v1(tmp_path, names))
    assert len({clip.id for clip in report.clips}) == len({clip.recording for clip in report.clips}) == 2


def test_a_place_that_cannot_be_written_is_told_before_any_file_is_read(tree, tmp_path: Path):
    (tmp_path / "taken").write_text("a file")
    started: list[str] = []
    with pytest.raises(AvatarBenchError, match="E602"):
        import_dataset(
            "casual-conversations-v1", tree("v1"), tmp_path / "taken", lambda what, *_: started.append(what)
        )
    assert not started
