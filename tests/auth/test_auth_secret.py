"""The server's secret stays the same, and stays ours."""

from __future__ import annotations

import os
import stat

import pytest

from mailfw.auth.secret import loadSecret


def test_itIsMadeOnceAndForNobodyElse(tmp_path):
    secret = loadSecret(str(tmp_path))
    assert len(secret) == 32
    assert loadSecret(str(tmp_path)) == secret
    assert os.listdir(tmp_path) == ["secret"]
    assert stat.S_IMODE(os.stat(tmp_path / "secret").st_mode) == 0o600


def test_anotherDirectoryHasAnother(tmp_path):
    (tmp_path / "other").mkdir()
    assert loadSecret(str(tmp_path)) != loadSecret(str(tmp_path / "other"))


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_aDamagedOneIsSaidAndLeftAlone(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        loadSecret(str(tmp_path))
    assert (tmp_path / "secret").read_bytes() == content
