"""Manifest, folder scan, split and protocol."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmark.hashing import derive_seed, sha256_file
from benchmark.inputs import make_inputs
from benchmark.manifest import Clip, Dataset, load_dataset
from benchmark.metrics.catalogue import metrics_of
from benchmark.protocol import list_protocols, load_protocol
from benchmark.splits import identity_holdout_10
from media.audio import load_audio
from media.errors import AvatarBenchError
from media.image import load_image


def clip(identity: str, number: int, **changes: object) -> Clip:
    values = {"id": f"{identity}_{number}", "identity": identity, "media": f"{identity}/{number}.mp4"}
    return Clip.model_validate(values | {"sha256": f"{derive_seed(number, identity):064x}"} | changes)


def dataset(*clips: Clip) -> Dataset:
    return Dataset(id="made", root=Path(), clips=tuple(sorted(clips, key=lambda clip: clip.id)))


def test_a_folder_of_folders_is_one_person_a_folder(people: Path):
    found = load_dataset(people)
    assert [(c.id, c.identity) for c in found.clips] == [
        ("ada_one", "ada"), ("ada_two", "ada"), ("ben_one", "ben"), ("ben_two", "ben"),
    ]  # fmt: skip


def test_a_flat_folder_is_one_person_a_file_whatever_the_names(people: Path, tmp_path: Path):
    for name in ("a b.mp4", "a_b.MP4", "日本.mp4", ".hidden.mp4"):
        shutil.copy(people / "ada/one.mp4", tmp_path / name)
    (tmp_path / "notes.txt").write_text("no video")
    found = load_dataset(tmp_path)
    assert {c.media for c in found.clips} == {"a b.mp4", "a_b.MP4", "日本.mp4"}
    assert len({c.id for c in found.clips}) == len({c.identity for c in found.clips}) == 3


def test_the_data_set_hash_follows_content_and_not_place(people: Path, tmp_path: Path):
    copy = shutil.copytree(people, tmp_path / "elsewhere")
    assert load_dataset(copy).sha256 == load_dataset(people).sha256
    (copy / "ada/one.mp4").write_bytes(b"other")
    assert load_dataset(copy).sha256 != load_dataset(people).sha256


def test_a_manifest_names_stretches_of_files(people: Path, tmp_path: Path):
    shutil.copy(people / "ada/one.mp4", tmp_path / "film.mp4")
    line = {
        "id": "c1", "identity": "ada", "media": "film.mp4", "start_s": 0.0, "duration_s": 0.4,
        "sha256": sha256_file(tmp_path / "film.mp4"), "transcript": "ah", "licence": "CC0-1.0",
        "attributes": {"age": 30},
    }  # fmt: skip
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n\n")
    found = load_dataset(tmp_path)
    inputs = make_inputs(found, found.clips[0], load_protocol("mini-v1"), seed=3)
    assert (inputs.sample.n_frames, inputs.sample.width, inputs.sample.height) == (10, 384, 512)
    assert inputs.sample.transcript == "ah"
    assert load_image(inputs.sample.reference_image).shape == (512, 384, 3)
    assert load_audio(inputs.sample.audio).shape == (10 * 640,)


@pytest.mark.parametrize("line", ["{", '{"id": "a"}', '{"id": "a", "surprise": 1}'])
def test_a_bad_manifest_line_is_named(tmp_path: Path, line: str):
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(AvatarBenchError, match="E404: line 1 of the manifest"):
        load_dataset(tmp_path)


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(AvatarBenchError, match="E401: the data set has no clips"):
        load_dataset(tmp_path)
    with pytest.raises(AvatarBenchError, match="E401: the data set is not a folder"):
        load_dataset(tmp_path / "nowhere")


def test_the_split_holds_out_a_tenth_and_at_least_one():
    many = dataset(*(clip("ada", n) for n in range(400)), *(clip("ben", n) for n in range(5)))
    split = identity_holdout_10(many)
    held_out = [c.identity for c in split.test]
    assert held_out.count("ben") == 1
    assert 25 <= held_out.count("ada") <= 55  # 40 expected, binomial sigma 6
    assert {c.id for c in split.test} | {c.id for c in split.train} == {c.id for c in many.clips}


def test_clips_that_are_added_never_move_a_tested_or_trained_clip():
    before = identity_holdout_10(dataset(*(clip("ada", n) for n in range(100))))
    after = identity_holdout_10(dataset(*(clip("ada", n) for n in range(200)), clip("new", 1)))
    assert {c.id for c in before.test} <= {c.id for c in after.test}
    assert {c.id for c in before.train} <= {c.id for c in after.train}


def test_a_single_clip_is_tested_and_that_is_said():
    split = identity_holdout_10(dataset(clip("solo", 1)))
    assert [c.id for c in split.test] == ["solo_1"]
    assert "'solo' has a single clip" in split.notes[0]


def test_the_same_bytes_in_train_and_test_are_refused():
    clips = [clip("ada", n, sha256="a" * 64) for n in range(3)]
    with pytest.raises(AvatarBenchError, match="E403"):
        identity_holdout_10(dataset(*clips))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1080, 1920), (288, 512)),
        ((384, 512), (384, 512)),
        ((1920, 1080), (512, 288)),
        ((333, 500), (340, 512)),
    ],
)
def test_the_long_side_becomes_512_and_both_sides_even(size: tuple[int, int], expected: tuple[int, int]):
    assert load_protocol("mini-v1").video.size(*size) == expected


def test_clips_are_cut_to_ten_seconds_and_whole_frames():
    rule = load_protocol("mini-v1").video
    assert [rule.n_frames(seconds) for seconds in (4.4, 4.399999, 4.43, 20.0)] == [110, 110, 110, 250]


def test_the_protocol_hash_follows_its_numbers_alone():
    protocol = load_protocol("mini-v1")
    assert protocol in list_protocols()
    slower = protocol.model_copy(update={"video": protocol.video.model_copy(update={"fps": 24.0})})
    assert slower.sha256 != protocol.sha256 == load_protocol("mini-v1").sha256
    assert [metric.column for metric in metrics_of(protocol)] == [
        "Clarity", "LipSync-C mini", "LipSync-D mini", "LipSync offset mini", "HKC", "HKV", "HKV var", "AKD hand",
        "AKD face", "Face HOG", "SSIM", "PSNR", "SSIM person", "PSNR person", "FD-R", "FD-R 16f", "KD-R",
    ]  # fmt: skip


def test_an_unknown_protocol_gets_the_nearest_name():
    with pytest.raises(AvatarBenchError, match=r"E503: unknown protocol 'mini-1'\. Did you mean 'mini-v1'"):
        load_protocol("mini-1")


def damaged(people: Path, folder: Path, change) -> Dataset:
    shutil.copy(people / "ada/one.mp4", folder / "clip.mp4")
    change(folder / "clip.mp4")
    return load_dataset(folder)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda path: path.write_bytes(b"text" * 999), "E402"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "E402"),
        (lambda path: path.write_bytes(b""), "E402"),
    ],
    ids=["text", "half a file", "empty"],
)
def test_a_clip_that_cannot_be_read_has_its_own_code(
    people: Path, tmp_path: Path, own_cache: Path, change, code
):
    found = damaged(people, tmp_path, change)
    with pytest.raises(AvatarBenchError, match=f"{code}: the clip 'clip'"):
        make_inputs(found, found.clips[0], load_protocol("mini-v1"), seed=0)
    assert not [*own_cache.rglob("*.png"), *own_cache.rglob("*.wav"), *own_cache.rglob(".part-*")]


def test_a_clip_whose_bytes_changed_since_the_manifest_is_refused(people: Path, tmp_path: Path):
    shutil.copy(people / "ada/one.mp4", tmp_path / "clip.mp4")
    found = load_dataset(tmp_path)
    shutil.copy(people / "ben/one.mp4", tmp_path / "clip.mp4")
    with pytest.raises(AvatarBenchError, match="E402: the clip 'clip' is not the file"):
        make_inputs(found, found.clips[0], load_protocol("mini-v1"), seed=0)


def test_seeds_depend_on_name_and_run_seed_alone():
    seeds = [derive_seed(0, "sample", "a"), derive_seed(0, "sample", "b"), derive_seed(1, "sample", "a")]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seeds[0] == derive_seed(0, "sample", "a")
