"""`textfile:PATH`: a text file for each mailbox, as mutt reads it; `textfile:PATH?format=simple`: as textbooks print it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from zope.interface import implementer

from mailfw.interfaces import ISimpleStore, ISimpleStorePlugin, IStoreContext
from mailfw.storage.textfile.formats import Format, Mboxrd, Simple
from mailfw.storage.textfile.store import TextfileStore

__all__ = ["TextfilePlugin", "TextfileStore", "textfile"]

_FORMATS: dict[str, Format] = {format.name: format for format in (Mboxrd(), Simple())}


@implementer(ISimpleStorePlugin)
class TextfilePlugin:
    """Opens `textfile:PATH[?format=mboxrd|simple]`."""

    prefix = "textfile"

    def openSimpleStore(self, argument: str, context: IStoreContext) -> ISimpleStore:
        """:raises ValueError: the argument makes no sense, or the root cannot be used so; the text says why."""
        path, _, query = argument.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        name = options.pop("format", Mboxrd.name)
        if options:
            raise ValueError(f"textfile: has no option {next(iter(options))!r}, only 'format'")
        if name not in _FORMATS:
            raise ValueError(f"textfile: has no format {name!r}, only {' and '.join(_FORMATS)}")
        return TextfileStore(path, _FORMATS[name], context)


textfile = TextfilePlugin()
