"""`maildir:PATH`: a store of Maildir++ directories that Dovecot, mutt and mbsync can use at the same time."""

from __future__ import annotations

from zope.interface import implementer

from mailfw.interfaces import ISimpleStore, ISimpleStorePlugin, IStoreContext
from mailfw.storage.maildir.store import MaildirStore

__all__ = ["MaildirPlugin", "MaildirStore", "maildir"]


@implementer(ISimpleStorePlugin)
class MaildirPlugin:
    """Opens `maildir:PATH`."""

    prefix = "maildir"

    def openSimpleStore(self, argument: str, context: IStoreContext) -> ISimpleStore:
        """:raises ValueError: the root cannot be used so; the text says why."""
        return MaildirStore(argument, context)


maildir = MaildirPlugin()
