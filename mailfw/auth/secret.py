"""The server's own secret, from which what unknown users are shown is derived (`sasl.verifier.makeUp`).

It must outlive a restart: a salt that changes with it would show which names are not real.
"""

from __future__ import annotations

import os

FILE = "secret"
_SIZE = 32


def loadSecret(data: str) -> bytes:
    """The secret of a data directory; made, for nobody else to read, where there is none yet. Blocks.

    Whoever calls it owns the directory: two at once could each make one.

    :raises ValueError: the file is there and is no secret of ours.
    """
    path = os.path.join(data, FILE)
    try:
        with open(path, "rb") as file:
            secret = file.read(_SIZE + 1)
    except FileNotFoundError:
        return _make(path)
    if len(secret) != _SIZE:
        raise ValueError(f"{path} is damaged: remove it, and a new one is made")
    return secret


def _make(path: str) -> bytes:
    """Write a new one beside its place and put it there whole, so that no crash leaves half of it."""
    secret = os.urandom(_SIZE)
    beside = f"{path}.new"
    with open(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return secret
