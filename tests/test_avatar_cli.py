"""The `avatar` program: mistakes are told before any work, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media.audio import write_wav
from media.errors import AvatarBenchError
from reference_model.cli import main, parse_background, parse_size


def refuse(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 3
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    write_wav(tmp_path / "speech.wav", (0.2 * np.sin(np.arange(16_000) / 10)).astype(np.float32))
    return tmp_path / "speech.wav"


def test_a_picture_without_a_person_is_refused_and_nothing_is_written(tmp_path: Path, capsys):
    Image.new("RGB", (400, 400), (90, 120, 90)).save(tmp_path / "wall.png")
    assert "E102" in refuse(capsys, "create", tmp_path / "wall.png", "-o", tmp_path / "x.avatar")
    assert not (tmp_path / "x.avatar").exists()


def test_a_text_is_no_photograph(tmp_path: Path, capsys):
    (tmp_path / "photo.jpg").write_text("not a photograph")
    assert "E101" in refuse(capsys, "create", tmp_path / "photo.jpg", "-o", tmp_path / "x.avatar")


def test_outputs_are_checked_before_the_work(tmp_path: Path, speech: Path, capsys):
    assert "E504: the output has the wrong file type" in refuse(
        capsys, "create", "p.jpg", "-o", tmp_path / "x.zip"
    )
    assert "E602" in refuse(capsys, "create", "p.jpg", "-o", tmp_path / "no/x.avatar")
    assert "E504: 'lhm' is nothing to start from" in refuse(
        capsys, "create", "p.jpg", "-o", tmp_path / "x.avatar", "--initial", "lhm"
    )
    drive = ("drive", tmp_path / "x.avatar", speech, "-o")
    assert ".mov or .webm" in refuse(capsys, *drive, tmp_path / "x.mp4", "--background", "transparent")
    assert "E504: '3x' is not a size" in refuse(capsys, *drive, tmp_path / "x.mp4", "--size", "3x")
    assert "E504: 'green' is not a background" in refuse(
        capsys, *drive, tmp_path / "x.mp4", "--background", "green"
    )
    assert "E504: the avatar has no back" in refuse(capsys, *drive, tmp_path / "x.mp4", "--yaw", "180")


def test_a_broken_avatar_and_a_missing_sound_have_their_codes(tmp_path: Path, speech: Path, capsys):
    (tmp_path / "x.avatar").write_bytes(b"rubbish" * 50)
    assert "E301" in refuse(capsys, "drive", tmp_path / "x.avatar", speech, "-o", tmp_path / "x.mp4")
    assert "E301" in refuse(capsys, "inspect", tmp_path / "x.avatar")
    assert "E301" in refuse(capsys, "export", tmp_path / "x.avatar", "-o", tmp_path / "x.ply")
    assert "E201" in refuse(
        capsys, "drive", tmp_path / "x.avatar", tmp_path / "no.wav", "-o", tmp_path / "x.mp4"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"x.avatar", "speech.wav"}


@pytest.mark.parametrize(("text", "size"), [("384x512", (384, 512)), ("720×1280", (720, 1280))])
def test_sizes_are_width_first(text: str, size: tuple[int, int]):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["383x512", "384", "x", "0x0", "-384x512", "99998x512"])
def test_odd_or_absurd_sizes_are_refused(text: str):
    with pytest.raises(AvatarBenchError, match="E504"):
        parse_size(text)


def test_backgrounds_are_photo_nothing_or_a_colour():
    assert [parse_background(text) for text in ("photo", "transparent", "#20C040")] == [
        "photo", "transparent", (32, 192, 64),
    ]  # fmt: skip


def test_help_imports_no_torch():
    code = (
        "import sys; from reference_model.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
