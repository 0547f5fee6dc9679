"""What VRFY and EXPN say (RFC 5321 §3.5).

Unless `[smtp] inquiries` says otherwise, only somebody who logged in is told the truth; others learn nothing about addresses.
"""

from __future__ import annotations

from mailfw.errors import Refusal, RelayDenied
from mailfw.interfaces import IDirectory
from mailfw.smtp.grammar import bad, parseMailbox
from mailfw.smtp.reply import Reply, refusal, reply
from mailfw.values import Address

UNTOLD = reply(252, "2.0.0", "log in, and you will be told; or send the message, and see")


async def verify(directory: IDirectory, name: str, domain: str) -> Reply:
    """Whether the address is one of ours. :raises BadCommand: it is no address."""
    address = _address(name, domain)
    try:
        await directory.resolve(address)
    except RelayDenied:
        return reply(252, "2.0.0", f"<{address}> is not of this system")
    except Refusal as error:
        return refusal(error, f"<{address}> ")
    return reply(250, "2.1.5", f"<{address}>")


async def expand(directory: IDirectory, name: str, domain: str) -> Reply:
    """Where the alias leads. :raises BadCommand: it is no address."""
    address = _address(name, domain)
    members = await directory.expand(address)
    if not members:
        return reply(550, "5.1.1", f"<{address}> is no alias")
    return reply(250, "2.1.5", *(f"<{member}>" for member in members))


def _address(name: str, domain: str) -> Address:
    """:param domain: of a local part that stands alone."""
    name = name.removeprefix("<").removesuffix(">")
    address = parseMailbox(name if "@" in name else f"{name}@{domain}")
    if address is None:
        bad(501, "5.1.3", "that is no address")
    return address
