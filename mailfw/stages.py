"""Where hooks are asked, what they are given, and what they may answer: `docs/hooks.md` in values.

Frozen, and without Twisted, as `values` is. A hook is any callable that takes an `Event` and returns one of the results here, or
None for `Continue()`; a plain function is called in a thread, an `async def` in the reactor's.
"""

from __future__ import annotations

import enum
from collections.abc import MutableMapping
from typing import Any

from attrs import field, frozen

from mailfw.values import Address, Envelope, Identity, MessageSource, Outcome, Peer, Recipient, Target


class Stage(enum.Enum):
    """A moment in a message's life at which hooks are asked, or told; the configuration's words."""

    # A session, in the order of its commands.
    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL_FROM = "mail_from"
    RCPT_TO = "rcpt_to"
    DATA = "data"
    HEADER = "header"
    BODY_CHUNK = "body_chunk"
    END_OF_MESSAGE = "end_of_message"
    RSET = "rset"
    QUIT = "quit"
    DISCONNECT = "disconnect"
    UNKNOWN_COMMAND = "unknown_command"
    # Where mail goes.
    RESOLVE_RECIPIENT = "resolve_recipient"
    AUTHORIZE_RELAY = "authorize_relay"
    REWRITE_ENVELOPE = "rewrite_envelope"
    # The queue and the relay.
    MESSAGE_QUEUED = "message_queued"
    ROUTE = "route"
    BEFORE_DELIVERY = "before_delivery"
    SMTP_RESPONSE = "smtp_response"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    DSN_CREATED = "dsn_created"
    # Our own store.
    BEFORE_STORE = "before_store"
    STORED = "stored"


# --- Edits -----------------------------------------------------------------------------------------------------------


@frozen
class AddHeader:
    """One more field. :ivar position: 0 is before all others, 1 after the first …; None: after all others."""

    name: str
    value: str
    position: int | None = None


@frozen
class ChangeHeader:
    """Another value for a field. :ivar occurrence: which of those of that name, the first is 1; added where there is none."""

    name: str
    value: str
    occurrence: int = 1


@frozen
class DeleteHeader:
    """:ivar occurrence: which of those of that name, the first is 1; 0: all of them."""

    name: str
    occurrence: int = 0


@frozen
class ReplaceBody:
    """:ivar body: what follows the header's empty line; a source for what is large, which stays until the message is gone."""

    body: bytes | MessageSource


@frozen
class AddRecipient:
    """One more recipient; whoever is added is resolved as if the client had named it."""

    recipient: Recipient


@frozen
class RemoveRecipient:
    """:ivar address: of a recipient that gets nothing; one that is none is no error."""

    address: Address


@frozen
class ChangeSender:
    """:ivar sender: None is `<>`."""

    sender: Address | None


Edit = AddHeader | ChangeHeader | DeleteHeader | ReplaceBody | AddRecipient | RemoveRecipient | ChangeSender
Edits = tuple[Edit, ...]

# --- Results ---------------------------------------------------------------------------------------------------------


@frozen
class Continue:
    """Go on: the next hook is asked, then things go their way."""

    edits: Edits = ()


@frozen
class Accept:
    """Go on, and ask no further hook at this stage."""

    edits: Edits = ()


@frozen
class Reject:
    """Refuse for good. :ivar code: 5xx. :ivar enhanced: RFC 3463."""

    code: int = 550
    enhanced: str = "5.7.1"
    text: str = "refused by policy"


@frozen
class TempFail:
    """Refuse for now. :ivar code: 4xx."""

    code: int = 451
    enhanced: str = "4.7.1"
    text: str = "not now, try again later"


@frozen
class Discard:
    """Say that it was taken, and throw it away."""


@frozen
class Quarantine:
    """Deliver it into Junk, to those of our own. Further hooks are asked. :ivar reason: for the log."""

    reason: str = ""
    edits: Edits = ()


@frozen
class Disconnect:
    """Refuse, and close the connection."""

    code: int = 421
    enhanced: str = "4.7.0"
    text: str = "good bye"


Result = Continue | Accept | Reject | TempFail | Discard | Quarantine | Disconnect

# --- What a hook is given --------------------------------------------------------------------------------------------


@frozen
class Client:
    """Who is connected. :ivar id: of the connection, as logs know it; another one never has it while the process runs.

    :ivar service: `smtp`, `submission` … :ivar hello: what the client calls itself; empty before it did.
    :ivar tls: version and cipher; empty in the clear.
    :ivar notes: for hooks to remember things in while the connection lasts; nobody else looks into it.
    """

    id: str
    service: str
    peer: Peer
    hostname: str = ""
    hello: str = ""
    tls: str = ""
    identity: Identity | None = None
    notes: MutableMapping[Any, Any] = field(factory=dict, eq=False, repr=False)


@frozen
class Event:
    """What happens, for a hook to see. What a stage does not have is empty; `STAGES` says what each has.

    :ivar envelope: with the recipients that were accepted so far.
    :ivar recipient: whom it is about. :ivar target: the place in our store that it is about.
    :ivar argument: the mechanism of AUTH, an unknown command's line, the id of a queued message.
    :ivar header: a field's name and its value, as it stands, without the end of its last line.
    :ivar chunk: octets of the body.
    :ivar message: the message as the hooks before have left it. Reading it blocks: not for an `async def`, where it is large.
    :ivar outcome: what became of it.
    """

    stage: Stage
    client: Client | None = None
    envelope: Envelope | None = None
    recipient: Recipient | None = None
    target: Target | None = None
    argument: str = ""
    header: tuple[str, str] = ("", "")
    chunk: bytes = b""
    message: MessageSource | None = None
    outcome: Outcome | None = None


@frozen
class Decision:
    """What all hooks of a stage came to.

    :ivar event: as their edits have left it.
    :ivar edits: all of them, in their order.
    """

    result: Result
    event: Event
    edits: Edits = ()


@frozen
class Rules:
    """:ivar given: attributes of the event. :ivar results: that may be answered. :ivar edits: that may stand beside them."""

    given: tuple[str, ...]
    results: frozenset[type] = frozenset()
    edits: frozenset[type] = frozenset()


_ENVELOPE_EDITS = frozenset({AddRecipient, RemoveRecipient, ChangeSender})
_MESSAGE_EDITS = frozenset({AddHeader, ChangeHeader, DeleteHeader, ReplaceBody})
_SPOKEN = frozenset({Continue, Accept, Reject, TempFail, Disconnect})
_OF_MESSAGE = _SPOKEN | {Discard, Quarantine}
_DECIDED = frozenset({Continue, Accept, Reject, TempFail})
_TOLD: frozenset[type] = frozenset({Continue})

STAGES = {
    Stage.CONNECT: Rules(("client",), _SPOKEN),
    Stage.EHLO: Rules(("client",), _SPOKEN),
    Stage.STARTTLS: Rules(("client",), _SPOKEN),
    Stage.AUTH: Rules(("client", "argument"), _SPOKEN),
    Stage.MAIL_FROM: Rules(("client", "envelope"), _OF_MESSAGE, frozenset({ChangeSender})),
    Stage.RCPT_TO: Rules(("client", "envelope", "recipient"), _OF_MESSAGE),
    Stage.DATA: Rules(("client", "envelope"), _OF_MESSAGE),
    Stage.HEADER: Rules(("client", "envelope", "header"), _OF_MESSAGE),
    Stage.BODY_CHUNK: Rules(("client", "envelope", "chunk"), _OF_MESSAGE),
    Stage.END_OF_MESSAGE: Rules(("client", "envelope", "message"), _OF_MESSAGE, _ENVELOPE_EDITS | _MESSAGE_EDITS),
    Stage.RSET: Rules(("client",), _TOLD),
    Stage.QUIT: Rules(("client",), _TOLD),
    Stage.DISCONNECT: Rules(("client",), _TOLD),
    Stage.UNKNOWN_COMMAND: Rules(("client", "argument"), frozenset({Continue, Reject, TempFail, Disconnect})),
    Stage.RESOLVE_RECIPIENT: Rules(("envelope", "recipient"), _DECIDED, frozenset({AddRecipient, RemoveRecipient})),
    Stage.AUTHORIZE_RELAY: Rules(("client", "envelope", "recipient"), _DECIDED),
    Stage.REWRITE_ENVELOPE: Rules(("envelope",), _DECIDED | {Discard}, _ENVELOPE_EDITS),
    Stage.MESSAGE_QUEUED: Rules(("envelope", "argument"), _TOLD),
    Stage.ROUTE: Rules(("envelope", "recipient"), _DECIDED | {Discard}),
    Stage.BEFORE_DELIVERY: Rules(("envelope", "message"), _DECIDED | {Discard}, _MESSAGE_EDITS),
    Stage.SMTP_RESPONSE: Rules(("envelope", "recipient", "outcome"), _TOLD),
    Stage.DELIVERED: Rules(("envelope", "recipient", "outcome"), _TOLD),
    Stage.DEFERRED: Rules(("envelope", "recipient", "outcome"), _TOLD),
    Stage.BOUNCED: Rules(("envelope", "recipient", "outcome"), _TOLD),
    Stage.EXPIRED: Rules(("envelope", "recipient", "outcome"), _TOLD),
    Stage.DSN_CREATED: Rules(("envelope", "message"), frozenset({Continue, Accept, Discard})),
    Stage.BEFORE_STORE: Rules(("envelope", "target", "message"), _DECIDED | {Discard, Quarantine}, _MESSAGE_EDITS),
    Stage.STORED: Rules(("envelope", "target", "outcome"), _TOLD),
}
"""Every stage with its rules; the runner holds hooks to them."""
