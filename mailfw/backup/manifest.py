"""What is in a set: `manifest.json`, and whether a set is what its manifest says."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from attrs import asdict, field, frozen

MANIFEST = "manifest.json"
VERSION = 1
CHUNK = 1 << 20

Tell = Callable[[str, int], None]
"""Is told what was worked on, and how many octets; may wait, and may raise to end it all."""


class BackupError(Exception):
    """It cannot be done; the text says why, in one line."""


@frozen
class Item:
    """A file of a set. :ivar path: in the set. :ivar mtime: in nanoseconds. :ivar sha256: hexadecimal."""

    path: str
    size: int
    sha256: str
    mode: int
    mtime: int


@frozen
class Held:
    """A database of a set. :ivar kind: and :ivar version: of its schema; empty and 0, where it is not one of ours."""

    path: str
    kind: str
    version: int


@frozen
class Manifest:
    """:ivar program: that made it, and its version.
    :ivar moment: when the databases were as they are in the set, seconds since the epoch.
    :ivar places: where what lies below each directory of the set came from.
    :ivar directories: and their modes, parents first.
    """

    program: str
    moment: float
    places: dict[str, str]
    directories: list[tuple[str, int]] = field(factory=list)
    files: list[Item] = field(factory=list)
    databases: list[Held] = field(factory=list)
    version: int = VERSION

    @property
    def octets(self) -> int:
        """Of all files."""
        return sum(item.size for item in self.files)

    def dump(self) -> bytes:
        """As it is written."""
        content = asdict(self)
        return json.dumps({**content, "digest": _digest(content)}, indent=1).encode() + b"\n"

    @classmethod
    def load(cls, directory: str) -> Manifest:
        """That of a set. :raises BackupError: there is none, it is damaged, or a newer program's."""
        path = os.path.join(directory, MANIFEST)
        try:
            with open(path, "rb") as file:
                content = json.load(file)
            digest = content.pop("digest")
            isWhole = digest == _digest(content)
        except OSError as error:
            raise BackupError(f"{directory} is no backup: {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            isWhole = False
        if not isWhole:
            raise BackupError(f"{path} is damaged: nothing can be said about this backup")
        if content["version"] > VERSION:
            raise BackupError(f"{directory} was made by a newer mailfw ({content['program']}): use that one")
        return cls(
            content["program"],
            content["moment"],
            content["places"],
            [(path, mode) for path, mode in content["directories"]],
            [Item(**item) for item in content["files"]],
            [Held(**held) for held in content["databases"]],
        )


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@frozen
class Flaw:
    """:ivar what: `missing`, `size`, `content` or `unknown`, for programs. :ivar text: for people."""

    path: str
    what: str
    text: str


def verify(directory: str, tell: Tell) -> list[Flaw]:
    """What of a set is not as its manifest says, by path; reads every octet.

    :raises BackupError: it has no manifest that can be read.
    """
    manifest = Manifest.load(directory)
    flaws = [flaw for item in manifest.files if (flaw := _flaw(directory, item, tell)) is not None]
    for path, _ in manifest.directories:
        if not os.path.isdir(os.path.join(directory, path)):
            flaws.append(Flaw(path, "missing", "is missing"))
    known = {item.path for item in manifest.files} | {MANIFEST}
    flaws += [Flaw(path, "unknown", "does not belong to it") for path in _files(directory) if path not in known]
    return sorted(flaws, key=lambda flaw: flaw.path)


def _flaw(directory: str, item: Item, tell: Tell) -> Flaw | None:
    path = os.path.join(directory, item.path)
    try:
        if not os.path.isfile(path):
            return Flaw(item.path, "missing", "is missing")
        if (size := os.stat(path).st_size) != item.size:
            return Flaw(item.path, "size", f"has {size} octets and not {item.size}")
        if digestOf(path, tell) != item.sha256:
            return Flaw(item.path, "content", "has other octets than it had")
    except OSError as error:
        return Flaw(item.path, "content", f"cannot be read: {error.strerror}")
    return None


def _files(directory: str) -> Iterator[str]:
    for folder, _, names in os.walk(directory):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), directory)


def digestOf(path: str, tell: Tell) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            tell(path, len(chunk))
    return digest.hexdigest()
