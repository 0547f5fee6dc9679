"""The three roles of the one engine: a table of what differs between them."""

from __future__ import annotations

from attrs import frozen


@frozen
class Role:
    """What a listener is for.

    :ivar name: what logins are for, as app passwords and logs know it.
    :ivar greeting: the protocol's name in the first line.
    :ivar hellos: the verbs that open a session.
    :ivar offersLogin: AUTH is there; :ivar requiresLogin: and needed before MAIL.
    :ivar isLMTP: each recipient gets its own reply to the message (RFC 2033 §4.2).
    :ivar completesMessages: a missing Date and Message-ID are added, Bcc is taken out (RFC 6409 §8).
    :ivar normalizesLines: a bare CR or LF in a message is made a CRLF; otherwise such a message is refused.
    """

    name: str
    greeting: str
    hellos: frozenset[str]
    offersLogin: bool = True
    requiresLogin: bool = False
    isLMTP: bool = False
    completesMessages: bool = False
    normalizesLines: bool = False


_SMTP_HELLOS = frozenset({"HELO", "EHLO"})

MTA = Role("smtp", "ESMTP", _SMTP_HELLOS)
"""Mail from other systems, port 25 (RFC 5321). Whoever logs in here has the rights of submission."""

SUBMISSION = Role("submission", "ESMTP", _SMTP_HELLOS, requiresLogin=True, completesMessages=True)
"""Mail from our own people, ports 587 and 465 (RFC 6409)."""

LMTP = Role("lmtp", "LMTP", frozenset({"LHLO"}), offersLogin=False, isLMTP=True)
"""Mail from a queue that is not ours (RFC 2033), never on port 25."""
