"""SORT (RFC 5256 §3; DISPLAY of RFC 5957; ESORT of RFC 5267 §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.grammar.searching import Sort
from mailfw.imap.inquiry import Inquiry

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def sort(session: Session, command: Sort) -> Reply:
    """RFC 5256 §3. The answer is sent even when nothing was found."""
    inquiry = Inquiry(session, session.view, command.key, command.isUID, command.returns, command.order)
    return await inquiry.answer(b"SORT", ok("sorted"))


HANDLERS: Mapping[type, Handler] = {Sort: sort}
