"""Who sends what to whom, and from where."""

from __future__ import annotations

from attrs import evolve, frozen

from mailfw.values.address import Address


@frozen
class Recipient:
    """One recipient of an envelope, with what the sender asked about it (RFC 3461).

    :ivar notify: of `never`, `success`, `failure`, `delay`; empty where the sender said nothing.
    :ivar original: ORCPT as given, `rfc822;user@example.org`.
    """

    address: Address
    notify: frozenset[str] = frozenset()
    original: str = ""

    @property
    def withoutSuccess(self) -> Recipient:
        """The same where its sender has been told of success, and wants to know of what else may follow (RFC 3461 §4.1)."""
        if "success" not in self.notify:
            return self
        return evolve(self, notify=self.notify - {"success"} or frozenset(("never",)))


@frozen
class DeliverBy:
    """When a message is of use no longer (RFC 2852).

    :ivar isReturned: then it comes back to the sender (`R`); otherwise the sender is told, and it is still tried (`N`).
    :ivar isTraced: the sender is told of every relay (`T`).
    """

    time: float
    isReturned: bool = False
    isTraced: bool = False


@frozen
class Identity:
    """Who somebody proved to be.

    :ivar account: the canonical name of the account, `mbrain@example.org`, lower case: what stores know it by.
    :ivar isAdmin: may steer the server (manhole, EXPN for all …).
    :ivar authenticatedAs: whose credentials were used, where that is not the account's owner (a master login).
    """

    account: str
    isAdmin: bool = False
    authenticatedAs: str = ""


@frozen
class Envelope:
    """What SMTP says about a message, beside the message (RFC 5321 §2.3.1).

    :ivar sender: None is the null reverse path `<>`.
    :ivar identity: who authenticated, if anybody.
    :ivar returns: RET, `full` or `hdrs`, or empty.
    :ivar envelopeId: ENVID as given, decoded from xtext.
    :ivar is8Bit: the message may hold octets above 127 (BODY=8BITMIME or BINARYMIME).
    :ivar priority: -9 to 9 (MT-PRIORITY, RFC 6710).
    :ivar releaseAt: before that time nobody is given the message (FUTURERELEASE, RFC 4865); 0 is at once.
    :ivar isQuarantined: those of our own find it in Junk.
    :ivar isAnsweredEach: each recipient has an answer of its own (LMTP, RFC 2033 §4.2).
    """

    sender: Address | None
    recipients: tuple[Recipient, ...] = ()
    identity: Identity | None = None
    isSMTPUTF8: bool = False
    is8Bit: bool = False
    requiresTLS: bool = False
    returns: str = ""
    envelopeId: str = ""
    priority: int = 0
    deliverBy: DeliverBy | None = None
    releaseAt: float = 0.0
    isQuarantined: bool = False
    isAnsweredEach: bool = False


@frozen
class Peer:
    """The other end of a connection. IPv4-mapped IPv6 addresses are written as IPv4.

    :ivar host: an IP address, or the path of a Unix socket, or empty when the socket has none.
    """

    host: str
    port: int = 0
    isLoopback: bool = False
    isUnix: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
