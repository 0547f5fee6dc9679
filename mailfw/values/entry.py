"""Messages as a simple store lists them."""

from __future__ import annotations

from attrs import frozen


@frozen
class Entry:
    """One message as a simple store's `scan` finds it.

    :ivar key: names the message for as long as it is in the folder, whatever becomes of its flags.
    :ivar locator: where its bytes are now (a file name, an offset): a hint that may grow stale.
    :ivar flags: None where the format keeps none: then the engine's own record is the truth.
    :ivar size: octets as `read` returns them; -1 where only reading would tell. What has another size than before is another
        message, with the same key.
    """

    key: str
    locator: str
    flags: frozenset[str] | None = None
    internalDate: float = 0.0
    size: int = -1
