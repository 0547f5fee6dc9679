"""One owner for a data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailfw.app.datadir import DataDirectory, DataInUse
from mailfw.app.problem import Problem


def test_onlyOneHoldsADirectory(tmp_path: Path) -> None:
    first, second = DataDirectory(str(tmp_path / "data")), DataDirectory(str(tmp_path / "data"))
    first.claim()
    with pytest.raises(DataInUse, match=rf"is in use by another mailfw \(pid {os.getpid()}\): stop it first"):
        second.claim()
    first.release()
    second.claim()
    second.release()


def test_aLockThatAKilledProcessLeftIsNone(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999\n")
    data = DataDirectory(str(tmp_path))
    data.claim()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    data.release()


def test_whatCannotBeMadeSaysWhatToDo(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match=r"cannot be made \(.*\): change its rights, or choose another with --data DIR"):
        DataDirectory(str(tmp_path / "file" / "data")).claim()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
def test_aDirectoryThatTheLaterUserCannotWriteIsRefusedWhileWeAreRoot(tmp_path: Path) -> None:
    nobody = (65534, 65534)
    own = DataDirectory(str(tmp_path / "own"), nobody)
    own.claim()
    own.release()
    assert (tmp_path / "own").stat().st_uid == (tmp_path / "own" / "lock").stat().st_uid == 65534
    (tmp_path / "roots").mkdir(mode=0o755)
    with pytest.raises(Problem, match="is not writable"):
        DataDirectory(str(tmp_path / "roots"), nobody).claim()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_aDirectoryThatCannotBeWrittenIsRefused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(Problem, match="is not writable"):
        DataDirectory(str(tmp_path / "data")).claim()
