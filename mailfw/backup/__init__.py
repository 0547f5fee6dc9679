"""Backups: sets of files that hold a system as it was at one moment, and how they become a system again.

A set is a directory: `manifest.json`, which names every file with its size and SHA-256, and below `data/` (and `store/`,
where the store lies elsewhere) the files under their own names. Everything here blocks, and is for a thread of its own; nothing
here knows what is in a database, but for the statement by which one names its blobs.

Invariants:

- Nothing has the name of a set before all of it is on disk (`maker`), nor of a data directory before all of it is (`restoring`).
- All databases of a set are as they were at one instant (`moment`); every blob that they name then is in it.
- What is in a set is never changed, and so may be shared by hard links with other sets, and with files that never change either.
"""

from mailfw.backup.maker import Maker, Place, Shelf
from mailfw.backup.manifest import BackupError, Manifest, Tell, verify
from mailfw.backup.restoring import Restorer

__all__ = ["BackupError", "Maker", "Manifest", "Place", "Restorer", "Shelf", "Tell", "verify"]
