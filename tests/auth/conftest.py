"""Cheap argon2id for tests of everything but argon2id itself, and what was logged."""

from __future__ import annotations

import argon2
import pytest
from twisted.logger import formatEvent, globalLogPublisher

from mailfw.auth import crypts


@pytest.fixture(autouse=True)
def cheapHashes(monkeypatch):
    monkeypatch.setattr(crypts, "_ARGON2", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def logged():
    """A function that returns the lines logged by our rooms so far."""
    heard = []
    globalLogPublisher.addObserver(heard.append)
    yield lambda: [formatEvent(event) for event in heard if event["log_namespace"].startswith("mailfw.")]
    globalLogPublisher.removeObserver(heard.append)
