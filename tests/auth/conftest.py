"""Cheap argon2id for tests of everything but argon2id itself."""

from __future__ import annotations

import argon2
import pytest

from mailfw.auth import crypts


@pytest.fixture(autouse=True)
def cheapHashes(monkeypatch):
    monkeypatch.setattr(crypts, "_ARGON2", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
