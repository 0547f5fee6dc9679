"""Makes a system of a set."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping

from attrs import define

from mailfw.backup.files import MARK, begin, copy, sync
from mailfw.backup.manifest import BackupError, Flaw, Held, Manifest, Tell, verify
from mailfw.sql import SchemaMismatch

RESTORING = ".restoring"
_DATA = "data"
_SHOWN = 3

Prepare = Callable[[str, float], None]
"""Makes a database ready to be used again: its path, and the set's moment."""


@define
class Restorer:
    """:ivar source: the set. :ivar data: the directory that it is to become.
    :ivar prepares: by the kind of database. :ivar versions: that this program knows, likewise.
    :ivar owner: uid and gid to which all of it shall belong; None: whoever does this.
    """

    source: str
    data: str
    prepares: Mapping[str, Prepare]
    versions: Mapping[str, int]
    tell: Tell
    owner: tuple[int, int] | None = None

    def restore(self) -> Manifest:
        """:raises BackupError: it cannot be done, and nothing was changed but, perhaps, a directory `….restoring` begun."""
        manifest = Manifest.load(self.source)
        for held in manifest.databases:
            self._mustBeKnown(held)
        targets = {name: self.data if name == _DATA else path for name, path in manifest.places.items()}
        for target in targets.values():
            _mustBeEmpty(target)
        flaws = verify(self.source, self.tell)
        if flaws:
            raise BackupError(f"{self.source} is damaged: {_told(flaws)}; nothing was restored")
        try:
            self._fill(manifest, targets)
        except OSError as error:
            raise BackupError(f"{error.filename or self.data}: {error.strerror}; nothing was restored") from error
        except (sqlite3.Error, SchemaMismatch) as error:
            raise BackupError(f"{self.data}: {error}; nothing was restored") from error
        return manifest

    def _mustBeKnown(self, held: Held) -> None:
        if held.kind in self.versions and held.version > self.versions[held.kind]:
            known = self.versions[held.kind]
            raise BackupError(
                f"{held.path} has version {held.version}, this program knows versions up to {known}: use a newer mailfw"
            )

    def _fill(self, manifest: Manifest, targets: Mapping[str, str]) -> None:
        folders = {name: target + RESTORING for name, target in targets.items()}
        for folder in folders.values():
            os.makedirs(os.path.dirname(folder), 0o700, exist_ok=True)
            begin(folder)
        try:
            self._copy(manifest, folders)
            for held in manifest.databases:
                if held.kind in self.prepares:
                    self.prepares[held.kind](_within(folders, held.path), manifest.moment)
            for folder in folders.values():
                self._finish(folder)
            for folder in folders.values():
                os.unlink(os.path.join(folder, MARK))
                sync(folder)
            for name in sorted(targets, key=lambda name: name == _DATA):  # the data directory last: then it is a system
                os.rename(folders[name], targets[name])
                sync(os.path.dirname(targets[name]))
        except BaseException:
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _copy(self, manifest: Manifest, folders: Mapping[str, str]) -> None:
        for item in manifest.files:
            target = _within(folders, item.path)
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            if copy(os.path.join(self.source, item.path), target, self.tell) != item.sha256:
                raise BackupError(f"{item.path} has other octets than it had; nothing was restored")
            os.chmod(target, item.mode)
        for path, mode in manifest.directories:
            target = _within(folders, path)
            os.makedirs(target, 0o700, exist_ok=True)
            os.chmod(target, mode)

    def _finish(self, folder: str) -> None:
        for parent, _, names in os.walk(folder):
            for path in (parent, *(os.path.join(parent, name) for name in names)):
                if self.owner is not None:
                    os.chown(path, *self.owner)
            sync(parent)


def _within(folders: Mapping[str, str], path: str) -> str:
    """Where a file of the set goes. :raises BackupError: the manifest would have it elsewhere."""
    name, _, rest = path.partition("/")
    if name not in folders or os.path.isabs(rest) or ".." in rest.split("/"):
        raise BackupError(f"{path} is no path of a backup")
    return os.path.join(folders[name], rest) if rest else folders[name]


def _mustBeEmpty(path: str) -> None:
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise BackupError(f"{path} is not empty: a backup is restored where nothing is, so move it away first")


def _told(flaws: list[Flaw]) -> str:
    shown = "; ".join(f"{flaw.path} {flaw.text}" for flaw in flaws[:_SHOWN])
    return shown + (f" (and {len(flaws) - _SHOWN} more)" if len(flaws) > _SHOWN else "")
