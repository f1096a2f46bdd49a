"""`media.files.atomic_write`: a reader sees the old file or the whole new one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from media.errors import AvatarBenchError
from media.files import atomic_write


def test_finished_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with atomic_write(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == target.parent and temporary.suffix == ".json"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_e601(tmp_path: Path) -> None:
    with pytest.raises(AvatarBenchError, match="E601"), atomic_write(tmp_path / "a.bin"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_e602_and_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(AvatarBenchError, match="E602") as caught, atomic_write(tmp_path / "no" / "a.bin"):
        pass
    assert caught.value.fix == f"mkdir -p {tmp_path / 'no'}"


def test_folder_in_place_of_the_file_is_e602(tmp_path: Path) -> None:
    with pytest.raises(AvatarBenchError, match="E602"), atomic_write(tmp_path):
        pass


def test_other_os_errors_of_the_block_are_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.bin"):
        (tmp_path / "input").read_bytes()
