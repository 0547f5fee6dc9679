"""Mail to code: functions that addresses belong to. All that such a function needs; `docs/mail-to-code.md` is its manual.

>>> from mailfw import mail
>>> @mail.route("ticket-{id:int}@example.org")
... def ticket(message, id):
...     return mail.Deliver("support", mailbox=f"Tickets/{id}")
"""

from __future__ import annotations

from mailfw.code.pattern import PatternError
from mailfw.code.results import Defer, Deliver, Discard, Reject, Reply, Send
from mailfw.code.routing import RouteError, route
from mailfw.message.view import Attachment, Message

__all__ = [
    "Attachment",
    "Defer",
    "Deliver",
    "Discard",
    "Message",
    "PatternError",
    "Reject",
    "Reply",
    "RouteError",
    "Send",
    "route",
]
