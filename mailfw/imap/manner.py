"""How a client wants to be told of changes: what it has switched on by ENABLE, or by using it (RFC 5161, RFC 7162, RFC 9586)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

CONDSTORE, QRESYNC, UIDONLY = b"CONDSTORE", b"QRESYNC", b"UIDONLY"


@frozen
class Manner:
    """What follows from the extensions that are enabled.

    :ivar hasModSeqs: every FETCH response that was not asked for names UID and MODSEQ (RFC 7162 §3.2.4).
    :ivar hasResync: the client catches up by QRESYNC, and by VANISHED.
    :ivar isUIDOnly: no sequence number is sent or understood (RFC 9586 §3).
    """

    hasModSeqs: bool = False
    hasResync: bool = False
    isUIDOnly: bool = False

    @classmethod
    def of(cls, enabled: Iterable[bytes]) -> Manner:
        """QRESYNC brings CONDSTORE with it (RFC 7162 §3.2.3)."""
        extensions = frozenset(enabled)
        return cls(not extensions.isdisjoint((CONDSTORE, QRESYNC)), QRESYNC in extensions, UIDONLY in extensions)

    @property
    def saysVanished(self) -> bool:
        """Expunges are told by UID (RFC 7162 §3.2.10, RFC 9586 §3.4)."""
        return self.hasResync or self.isUIDOnly


PLAIN = Manner()
"""Nothing is enabled."""
