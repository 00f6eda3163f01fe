"""Files are whole or as they were, and what the disk refuses is a JobError in one line."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from convrnn.core.errors import InputError, JobError
from convrnn.core.files import replacing, write


def test_text_is_utf8_and_bytes_are_bytes(tmp_path: Path) -> None:
    write(tmp_path / "报告.txt", "训练完成\n")
    assert (tmp_path / "报告.txt").read_bytes() == "训练完成\n".encode()
    write(tmp_path / "raw", b"\x00\xff")
    assert (tmp_path / "raw").read_bytes() == b"\x00\xff"


def test_the_old_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "f", "old")
    write(tmp_path / "f", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "new"


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_takes_nobodys_place(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:  # as on a memory card

        def refused(*paths: Path) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refused)
    write(tmp_path / "f", "first", new=True)
    with pytest.raises(FileExistsError):
        write(tmp_path / "f", "second", new=True)
    assert (tmp_path / "f").read_text() == "first" and [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("failure", [ValueError("half-way"), KeyboardInterrupt()])
def test_a_failure_in_mid_write_leaves_the_old_file(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "f"
    write(target, "old")
    with pytest.raises(type(failure)), replacing(target) as temporary:
        temporary.write_text("ne")
        raise failure
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_a_job_error_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f"
    write(target, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JobError) as raised:
        write(target, "new")
    assert str(raised.value) == f"{target}: could not be written: No space left on device; free some space or choose another --out"
    assert raised.value.exit_code == 1
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_really_full_device(tmp_path: Path) -> None:
    target = tmp_path / "f"
    write(target, "old")
    with pytest.raises(JobError, match=r"could not be written: No space left on device"), replacing(target) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x" * 4096)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_lost_folder_is_a_job_error(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"could not be written: No such file or directory") as raised:
        write(tmp_path / "gone" / "f", "x")
    assert not isinstance(raised.value, InputError)


def test_a_folder_in_the_place_of_the_file_is_a_job_error(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(JobError, match=r"could not be written: Is a directory"):
        write(tmp_path / "f", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_are_as_readable_as_the_user_wants(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "f", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o666 & ~mask


def test_the_whole_file_reaches_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the flush a power cut could leave an empty file under the right name."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("flush"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    write(tmp_path / "f", "x")
    assert done == ["flush", "rename"]
