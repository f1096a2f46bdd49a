"""Numbers that were typed in do not pass: one test a way of tampering."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forgery import PEOPLE, edit_json, edit_rows, forge_whole, relist, rename, silent

from benchmark.cli import main
from benchmark.features import features_path, read_features, write_features
from benchmark.results import read_samples
from benchmark.schema import SampleRow
from leaderboard.audit import AuditOptions
from leaderboard.entries import load_entries, read_entry
from leaderboard.limits import load_limits
from leaderboard.schema import ENTRY, SAMPLES, Verification
from leaderboard.verification import verify_entry, write_verification
from media.errors import AvatarBenchError

CLIP = "p03_clip"


def verify(
    entry: Path, crowd: Path | None, predictions: Path | None = None, share: float = 1.0
) -> Verification:
    audit = None if predictions is None else AuditOptions(predictions, share)
    return verify_entry(entry, crowd, audit, load_limits(), silent)


def codes(found: Verification) -> list[str]:
    assert not found.findings or found.badge == "self-reported"
    return [finding.code for finding in found.findings]


def test_an_honest_entry_is_consistent_and_with_its_predictions_audited(entry, crowd, predictions):
    assert (verify(entry, crowd).badge, codes(verify(entry, crowd))) == ("consistent", [])
    found = verify(entry, crowd, predictions)
    assert (found.badge, codes(found)) == ("audited", [])
    assert found.audit.n_audited == found.audit.n_samples == 20
    values = [d for sample in found.audit.samples for d in sample.differences]
    assert len(values) == 20 * 4  # two metrics, and features of the method and of the truth
    assert all(d.agrees for d in values)


def test_without_the_data_set_nothing_above_self_reported_is_said(entry, predictions):
    found = verify(entry, None, predictions)
    assert (found.badge, found.findings, found.audit) == ("self-reported", (), None)
    assert len(found.unchecked) == 2
    assert "not at hand" in found.unchecked[0]


def test_edited_mean(entry, crowd):
    def better(data):
        summary = data["result"]["methods"][0]["metrics"][0]
        summary["value"] += 1e-6

    edit_json(entry, better)
    found = verify(entry, crowd)
    assert codes(found) == ["E806"]
    assert "value of psnr_rgb_full" in found.findings[0].what


def test_an_edited_interval_coverage_or_rank_is_an_edited_mean(entry, crowd):
    original = (entry / ENTRY).read_text()
    for change in (
        lambda m: m["metrics"][1]["interval"].update(low=m["metrics"][1]["interval"]["low"] + 1e-4),
        lambda m: m["metrics"][2].update(value=m["metrics"][2]["value"] / 2),  # of the set
        lambda m: m.update(ranked=False),
    ):
        (entry / ENTRY).write_text(original)
        edit_json(entry, lambda data, change=change: change(data["result"]["methods"][0]))
        assert codes(verify(entry, crowd)) == ["E806"]


def raise_psnr(row: SampleRow) -> SampleRow:
    chosen = (row.sample_id, row.metric_id) == (CLIP, "psnr_rgb_full")
    return row.model_copy(update={"value": row.value + 3.0}) if chosen else row


def test_edited_sample_with_hashes_made_to_fit(entry, crowd):
    edit_rows(entry, raise_psnr)
    assert codes(verify(entry, crowd)) == ["E806"]


def test_edited_file_without_its_hash(entry, crowd):
    with open(entry / SAMPLES, "r+b") as stream:
        stream.seek(200)
        stream.write(b"\xff")
    assert codes(verify(entry, crowd)) == ["E804"]


def test_edited_sample_with_everything_made_to_fit_is_left_to_the_audit(entry, crowd, predictions):
    edit_rows(entry, raise_psnr)
    forge_whole(entry)
    assert verify(entry, crowd).badge == "consistent"
    found = verify(entry, crowd, predictions)
    assert codes(found) == ["E812"]
    assert CLIP in found.findings[0].what


@pytest.mark.parametrize("owner", ["frozen", "truth"])
def test_edited_features_with_everything_made_to_fit_are_left_to_the_audit(entry, crowd, predictions, owner):
    metric, other = "kd_random_frames", {"frozen": "truth", "truth": "frozen"}[owner]
    forged = read_features(entry, metric, owner) | {CLIP: read_features(entry, metric, other)[CLIP]}
    write_features(entry, metric, owner, forged)
    forge_whole(entry)
    assert verify(entry, crowd).badge == "consistent"
    found = verify(entry, crowd, predictions)
    assert codes(found) == ["E812"]
    assert f"{metric}/{owner} of {CLIP}" in found.findings[0].what


def test_dropped_clip(entry, crowd):
    edit_rows(entry, lambda row: None if row.sample_id == CLIP else row)
    found = verify(entry, crowd)
    assert codes(found)[0] == "E805"
    assert CLIP in found.findings[0].got


def test_dropped_clip_with_a_plan_that_never_had_it(entry, crowd):
    edit_rows(entry, lambda row: None if row.sample_id == CLIP else row)
    for owner in ("frozen", "truth"):
        kept = {k: v for k, v in read_features(entry, "kd_random_frames", owner).items() if k != CLIP}
        write_features(entry, "kd_random_frames", owner, kept)

    def forget(data):
        data["plan"]["sample_ids"].remove(CLIP)
        data["predictions"] = [p for p in data["predictions"] if p["sample_id"] != CLIP]
        del data["attributes"][CLIP]

    edit_json(entry, forget)
    shutil.rmtree(entry / "videos", ignore_errors=True)
    forge_whole(entry)
    found = verify(rename(entry), crowd)
    assert codes(found) == ["E808"]
    assert "holds out" in found.findings[0].what


def test_swapped_prediction(entry, crowd, predictions):
    one, two = (predictions / f"{name}_clip.mp4" for name in ("p04", "p05"))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    found = verify(entry, crowd, predictions)
    assert codes(found) == ["E811", "E811"]
    assert found.audit.samples == ()


def test_missing_and_linked_predictions(entry, crowd, predictions, tmp_path):
    (predictions / f"{CLIP}.mp4").rename(tmp_path / "elsewhere.mp4")
    assert codes(verify(entry, crowd, predictions)) == ["E811"]
    (predictions / f"{CLIP}.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    assert codes(verify(entry, crowd, predictions)) == ["E811"]


def test_a_prediction_that_is_a_playlist_is_not_opened(entry, crowd, predictions):
    (predictions / f"{CLIP}.mp4").write_text("#EXTM3U\nhttps://example.org/a.ts\n")

    def hash_it(data):
        from benchmark.hashing import sha256_file

        for prediction in data["predictions"]:
            if prediction["sample_id"] == CLIP:
                prediction["sha256"] = sha256_file(predictions / f"{CLIP}.mp4")

    edit_json(entry, hash_it)
    digest = json.loads((entry / ENTRY).read_text())["predictions"][3]["sha256"]
    edit_rows(
        entry, lambda r: r.model_copy(update={"prediction_sha256": digest}) if r.sample_id == CLIP else r
    )
    forge_whole(entry)
    shutil.rmtree(entry / "videos", ignore_errors=True)
    relist(entry)
    found = verify(entry, crowd, predictions)
    assert codes(found) == ["E811"]
    assert "no MP4" in found.findings[0].what


def test_other_protocol(entry, crowd):
    original = (entry / ENTRY).read_text()
    edit_json(entry, lambda data: data["plan"].update(protocol_sha256="0" * 64))
    assert codes(verify(entry, crowd)) == ["E807"]
    (entry / ENTRY).write_text(original)
    edit_json(entry, lambda data: data["plan"].update(protocol_id="large-v9"))
    assert codes(verify(entry, crowd)) == ["E807"]
    (entry / ENTRY).write_text(original)
    edit_rows(entry, lambda row: row.model_copy(update={"protocol_sha256": "0" * 64}))
    assert codes(verify(entry, crowd))[0] == "E807"


def test_other_data_set(entry, crowd, tmp_path):
    other = Path(shutil.copytree(crowd, tmp_path / "crowd"))
    shutil.rmtree(other / PEOPLE[0])
    assert codes(verify(entry, other)) == ["E808"]
    edit_rows(entry, lambda row: row.model_copy(update={"dataset_sha256": "0" * 64}))
    assert codes(verify(entry, crowd))[0] == "E808"


def test_facts_about_the_people_that_the_data_set_does_not_tell(entry, crowd):
    edit_json(entry, lambda data: data["attributes"][CLIP].update(hair="green"))
    assert codes(verify(entry, crowd)) == ["E808"]


def test_not_a_number(entry, crowd):
    table = pq.read_table(entry / SAMPLES)
    values = table["value"].to_pylist()
    values[0] = float("nan")
    place = table.schema.get_field_index("value")
    table = table.set_column(place, table.schema.field(place), pa.array(values, pa.float64()))
    pq.write_table(table, entry / SAMPLES)
    relist(entry)
    assert codes(verify(entry, crowd)) == ["E809"]


def test_not_a_number_in_the_entry_itself(entry, crowd):
    edit_json(entry, lambda data: data["result"]["methods"][0]["metrics"][0].update(value=float("nan")))
    with pytest.raises(AvatarBenchError, match="E803"):
        verify(entry, crowd)


def test_not_a_number_among_the_features(entry, crowd):
    features = read_features(entry, "kd_random_frames", "frozen")
    features[CLIP] = np.full_like(features[CLIP], np.nan)
    write_features(entry, "kd_random_frames", "frozen", features)
    relist(entry)
    assert codes(verify(entry, crowd)) == ["E810"]


def test_a_value_that_the_metric_cannot_have(entry, crowd):
    edit_rows(
        entry,
        lambda row: row.model_copy(update={"value": 1.5}) if row.metric_id == "ssim_gauss11_rgb" else row,
    )
    assert codes(verify(entry, crowd)) == ["E809"]


@pytest.mark.parametrize("name", ["../../outside.txt", "/etc/hostname", "videos/../../x", "videos\\..\\x"])
def test_path_escape_by_name(entry, crowd, name):
    edit_json(entry, lambda data: data["files"].update({name: "0" * 64}))
    found = verify(entry, crowd)
    assert codes(found) == ["E801"]
    assert "does not lie in its folder" in found.findings[0].what


@pytest.mark.parametrize("name", [SAMPLES, "videos", "features"])
def test_path_escape_by_link(entry, crowd, tmp_path, name):
    (entry / name).rename(tmp_path / "outside")
    (entry / name).symlink_to(tmp_path / "outside")
    assert codes(verify(entry, crowd)) == ["E801"]


def test_an_entry_that_is_a_link_is_not_read(entry, crowd, tmp_path):
    (entry / ENTRY).rename(tmp_path / "outside.json")
    (entry / ENTRY).symlink_to(tmp_path / "outside.json")
    with pytest.raises(AvatarBenchError, match="E801"):
        verify(entry, crowd)


def test_a_device_or_a_stray_file_is_no_part_of_an_entry(entry, crowd):
    os.mkfifo(entry / "videos" / "pipe.mp4")
    assert codes(verify(entry, crowd)) == ["E801"]
    (entry / "videos" / "pipe.mp4").unlink()
    (entry / "setup.py").write_text("raise SystemExit")
    assert codes(verify(entry, crowd)) == ["E801"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["submission"].update(submitter="<script>alert(1)</script>"),
        lambda data: data["submission"].update(note="hidden \u202e text"),
        lambda data: data["submission"].update(paper="javascript:alert(1)"),
        lambda data: data["submission"].update(code="https://example.org/\"onload='x'"),
        lambda data: data["result"]["methods"][0].update(title="<img src=x onerror=alert(1)>"),
        lambda data: data["plan"]["sample_ids"].append("<b>"),
        lambda data: data["plan"].update(notes=["<img src=x>"]),
        lambda data: data["environment"]["packages"].update({"<b>": "1"}),
        lambda data: data["environment"]["hardware"].update(cpu="<svg onload=x>"),
        lambda data: data["attributes"][CLIP].update({"<b>": "x"}),
    ],
)
def test_script_in_a_name(entry, crowd, change):
    edit_json(entry, change)
    with pytest.raises(AvatarBenchError, match="E803"):
        verify(entry, crowd)
    board = load_entries(entry.parents[1])
    assert ([problem.code for problem in board.problems], board.entries) == (["E803"], [])


def sparse(path: Path, size: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as stream:
        stream.truncate(size)


def test_gigabytes_of_zeros_in_each_kind_of_file(entry, crowd, tmp_path):
    for name in (SAMPLES, f"videos/{CLIP}.mp4", "features/kd_random_frames/frozen.npz"):
        copy = Path(shutil.copytree(entry, tmp_path / name.replace("/", "_") / entry.name))
        sparse(copy / name, 5 << 30)
        assert codes(verify(copy, crowd)) == ["E802"]
    sparse(entry / ENTRY, 5 << 30)
    with pytest.raises(AvatarBenchError, match="E802"):
        verify(entry, crowd)


def write_large_table(entry: Path) -> None:
    schema = pq.read_schema(entry / SAMPLES)
    rows = pq.read_table(entry / SAMPLES).to_pylist()
    for row in rows:
        row["unit"] = "\0" * (3 << 19)
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema), entry / SAMPLES, compression="zstd", use_dictionary=False
    )
    assert (entry / SAMPLES).stat().st_size < 1 << 20
    relist(entry)


def test_gigabytes_of_zeros_behind_a_small_table(entry, crowd):
    write_large_table(entry)
    assert codes(verify(entry, crowd)) == ["E802"]


def test_a_table_that_grows_beyond_what_its_head_says_runs_against_the_memory_limit(
    entry, crowd, monkeypatch
):
    write_large_table(entry)
    monkeypatch.setattr("leaderboard.folders.MAX_SAMPLES_BYTES", 1 << 40)  # as if the head had lied
    monkeypatch.setattr("leaderboard.folders._MEMORY_BYTES", 64 << 20)
    found = verify(entry, crowd)
    assert codes(found) == ["E803"]
    assert "bounded memory" in found.findings[0].what


def test_a_table_of_more_rows_than_the_run_has_is_not_read(entry, crowd):
    rows = pq.read_table(entry / SAMPLES).slice(0, 1)
    pq.write_table(pa.concat_tables([rows] * 1000).combine_chunks(), entry / SAMPLES)
    relist(entry)
    found = verify(entry, crowd)
    assert codes(found) == ["E802"]
    assert found.findings[0].got.startswith("1000 rows")


def test_gigabytes_of_zeros_behind_small_features(entry, crowd):
    path = features_path(entry, "kd_random_frames", "frozen")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{CLIP}.npy", b"\0" * (64 << 20))
    assert path.stat().st_size < 1 << 20
    relist(entry)
    assert codes(verify(entry, crowd)) == ["E810"]


def test_an_array_whose_head_promises_more_than_there_is(entry, crowd):
    path = features_path(entry, "kd_random_frames", "frozen")
    with zipfile.ZipFile(path, "w") as archive, archive.open(f"{CLIP}.npy", "w") as stream:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 64)}
        np.lib.format.write_array_header_1_0(stream, header)
    relist(entry)
    assert codes(verify(entry, crowd)) == ["E810"]


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_a_pickle_is_not_opened(entry, crowd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = features_path(entry, "kd_random_frames", "frozen")
    with zipfile.ZipFile(path, "w") as archive, archive.open(f"{CLIP}.npy", "w") as stream:
        np.lib.format.write_array(stream, np.array([[Bomb()]], dtype=object), allow_pickle=True)
    relist(entry)
    assert codes(verify(entry, crowd)) == ["E810"]
    assert not (tmp_path / "exploded").exists()


def test_a_clip_that_stands_in_the_plan_twice(entry, crowd):
    edit_json(entry, lambda data: data["plan"]["sample_ids"].append(CLIP))
    with pytest.raises(AvatarBenchError, match="E803"):
        verify(entry, crowd)


def test_a_run_id_that_is_not_the_hash_of_the_plan(entry, crowd):
    edit_json(entry, lambda data: data["plan"].update(seed=7))
    assert "E806" in codes(verify(entry, crowd))


def test_a_badge_hangs_on_the_very_bytes_that_were_verified(entry, crowd, predictions):
    board = entry.parents[1]
    assert load_entries(board).entries[0].badge == "self-reported"
    write_verification(board, verify(entry, crowd, predictions))
    assert load_entries(board).entries[0].badge == "audited"
    edit_json(entry, lambda data: data["submission"].update(note="one more word"))
    assert load_entries(board).entries[0].badge == "self-reported"


def test_the_command_says_what_is_wrong_and_ends_with_5(entry, crowd, predictions, capsys):
    arguments = ["verify", str(entry), "--dataset", str(crowd), "--predictions", str(predictions)]
    assert main([*arguments, "--share", "0.5", "--record", str(entry.parents[1])]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "audit: 10 of 20 clips" in said
    assert "1 edited: 50%, 2 edited: 76%" in said
    assert load_entries(entry.parents[1]).entries[0].badge == "audited"
    edit_rows(entry, raise_psnr)
    assert main(arguments) == 5
    assert "E806" in capsys.readouterr().out
    assert main(["verify", str(entry / "nothing")]) == 3


def test_entries_of_a_board_are_read_in_order_with_their_rows(entry):
    loaded = load_entries(entry.parents[1]).entries[0]
    assert loaded.entry == read_entry(entry)
    assert loaded.rows() == read_samples(entry / SAMPLES)
    assert (loaded.method.id, loaded.entry.attributes[CLIP]) == ("frozen", {"hair": "black"})
