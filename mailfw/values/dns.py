"""What the DNS tells."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen


@frozen
class MX:
    """A host that takes mail for a domain (RFC 5321 §5.1).

    :ivar host: lower case, without the last dot; empty is a null MX (RFC 7505).
    """

    preference: int
    host: str


@frozen
class TLSA:
    """Which certificate a service shows (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


R = TypeVar("R")


@frozen
class Answer(Generic[R]):
    """Records of one kind at one name; none, where the name is there without any of that kind.

    :ivar isAuthentic: the resolver found the answer signed (DNSSEC), as far as the resolver and the way to it are trusted.
    """

    records: tuple[R, ...] = ()
    isAuthentic: bool = False
