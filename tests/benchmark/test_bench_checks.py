"""What may count as a prediction, and what happens where nothing can be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from moving_clips import FPS, N_FRAMES, SIZE, moving_shapes, tone
from tiny_methods import tiny_spec
from tiny_runs import hidden, install_tiny_protocol, silent

from benchmark.checking import Rejected, check_video, unify_codec
from benchmark.cli import main
from benchmark.contract import Sample
from benchmark.locking import file_lock
from benchmark.plan import RunOptions
from benchmark.results import read_json, write_json
from benchmark.stages import Work, run_stages, score_stage
from media.audio import write_wav
from media.errors import AvatarBenchError
from media.video import probe, read_frames, write_video


@pytest.fixture(autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs here are tiny."""
    install_tiny_protocol(tmp_path_factory.mktemp("tiny") / "protocols", monkeypatch)


def options(dataset: Path, out: Path) -> RunOptions:
    return RunOptions((tiny_spec("sliding", "Sliding"),), "tiny-v1", dataset, out, "cpu")


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    write_wav(tmp_path / "sound.wav", tone(1))
    width, height = SIZE
    return Sample(
        "a", "a", tmp_path / "none.png", tmp_path / "sound.wav", None, N_FRAMES, FPS, width, height, 0
    )


def encode(
    path: Path, codec: str, pixels: str, *, late: dict[int, int] | None = None, **settings: str
) -> Path:
    """The moving shapes in any codec; `late` shows frames by so many thousandths of a second later."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=settings)
        stream.width, stream.height = SIZE
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(moving_shapes(1)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = index * 1000 // FPS + (late or {}).get(index, 0), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def kind(path: Path) -> tuple[str, str]:
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.name, context.pix_fmt or ""


@pytest.mark.parametrize(
    ("codec", "pixels", "settings", "found"),
    [
        ("mpeg4", "yuv420p", {"qscale": "1"}, "mpeg4 yuv420p"),
        ("libx264", "yuv444p", {"qp": "0"}, "h264 yuv444p"),
        ("png", "rgb24", {}, "png rgb24"),
    ],
)
def test_a_video_in_another_codec_is_kept_in_the_protocols_with_the_same_frames(
    sample: Sample, tmp_path: Path, codec: str, pixels: str, settings: dict[str, str], found: str
):
    path = encode(tmp_path / "video.mp4", codec, pixels, **settings)
    as_written = np.stack(list(read_frames(path))).astype(float)
    check_video(path, sample)
    assert unify_codec(path, "h264-yuv420p", sample) == found
    assert kind(path) == ("h264", "yuv420p")
    check_video(path, sample)
    assert probe(path).has_audio
    error = np.stack(list(read_frames(path))) - as_written
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38  # dB; what the codec costs every method
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.suffix == ".mp4") == ["video.mp4"]


def test_a_video_in_the_protocols_codec_is_kept_byte_by_byte(sample: Sample, tmp_path: Path):
    path = tmp_path / "video.mp4"
    write_video(path, moving_shapes(1), FPS)
    before = path.read_bytes()
    assert unify_codec(path, "h264-yuv420p", sample) is None
    assert path.read_bytes() == before


def test_frames_at_uneven_times_are_refused_though_number_and_mean_rate_are_right(
    sample: Sample, tmp_path: Path
):
    even = encode(tmp_path / "even.mp4", "mpeg4", "yuv420p", late={4: 15})  # less than half a frame
    check_video(even, sample)
    uneven = encode(tmp_path / "uneven.mp4", "mpeg4", "yuv420p", late={4: 30})
    assert abs(probe(uneven).fps - FPS) < 1e-3
    with pytest.raises(Rejected, match=r"expected frame 4 at 0\.160 s, got 0\.190"):
        check_video(uneven, sample)


@contextmanager
def mounted(folder: Path, settings: str) -> Iterator[Path]:
    """A disk of its own in memory; skips where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", settings, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("may not mount a disk in memory here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free_bytes", [0, 4096, 12_000, 30_000])
def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    people: Path, tmp_path: Path, free_bytes: int
):
    with mounted(tmp_path / "disk", "size=400k") as disk:
        ballast = disk / "ballast"
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
        ballast.write_bytes(bytes(max(0, room - free_bytes)))
        with pytest.raises(AvatarBenchError, match="E601: the disk is full"):
            run_stages(options(people, disk / "run"), Work(), silent)
        ballast.unlink()
        assert run_stages(options(people, disk / "run"), Work(), silent).failed == 0
        assert hidden(disk / "run") == []


def test_a_folder_that_may_only_be_read_is_refused_with_one_message(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["run", "-m", "frozen", "--protocol", "tiny-v1", "--dataset", str(people), "--no-controls"]
    command += ["--device", "cpu"]
    with mounted(tmp_path / "disk", "size=400k") as disk:
        run_stages(options(people, disk / "run"), Work(), silent)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for out in (disk / "new", disk / "run"):
            assert main([*command, "--out", str(out)]) == 3
            message = capsys.readouterr().err
            assert "E602" in message and "Traceback" not in message
        assert main(["aggregate", str(disk / "run")]) == 3


def test_two_commands_at_once_on_one_folder_are_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run_stages(options(people, tmp_path / "run"), Work(), silent)
    command = ["run", "-m", "frozen", "--protocol", "tiny-v1", "--dataset", str(people), "--no-controls"]
    command += ["--device", "cpu"]
    with file_lock(tmp_path / "run/.lock"):
        for arguments in ([*command, "--out"], ["score", "--dataset", str(people)], ["aggregate"]):
            assert main([*arguments, str(tmp_path / "run")]) == 3
            assert "E604: another process works on this run" in capsys.readouterr().err


def test_a_run_of_another_protocol_hash_is_not_scored(people: Path, tmp_path: Path):
    run_stages(options(people, tmp_path / "run"), Work(), silent)
    plan = tmp_path / "run/plan.json"
    write_json(plan, read_json(plan) | {"protocol_sha256": "0" * 64})
    with pytest.raises(AvatarBenchError, match="E503: the protocol 'tiny-v1' is not the one"):
        score_stage(tmp_path / "run", people, Work(), silent)
