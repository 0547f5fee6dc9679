"""Holds back who guesses passwords, and writes the line by which fail2ban can shut him out.

The protocols wait `delayFor(peer, user)` seconds before they look at a login. Two things make that longer:

- one user failing from one network: 1 s at the second failure, doubling up to 30 s;
- many different users failing from one network: from the eleventh on, likewise. (One user who fails again and again
  counts once: a forgotten telephone must not lock out the office that it stands in.) Peers on this machine are spared
  this one, for a webmail there speaks for everybody.

A success ends the first, and a quarter of an hour without failure ends either. The table is bounded. An account is
never locked for all: that would give a weapon to whoever knows its name.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Callable

from twisted.logger import Logger

from mailfw.values import accountName

LONGEST = 30.0
"""Seconds: the longest delay."""
FORGET = 900.0
"""Seconds without a failure after which it is all forgotten."""
CAPACITY = 20_000
USERS_FREE = 10
"""Different users of one network that may fail before the network as a whole is held back."""

FAILED = "login failed: user=<{user}> service={service} peer={peer} reason={reason}"
"""The line for fail2ban. `user` holds no `>`, no space and no control character; nothing but `user` comes from the
client.

    failregex = login failed: user=<[^>]*> service=\\S* peer=<HOST> reason=
"""

_UNSAFE = re.compile(r"[^\x21-\x7e]|[<>\\]")
_USER_SHOWN = 128


class LoginGuard:
    """Counts failed logins.

    :param now: seconds, on any clock that does not go back.
    :param domain: the first configured domain.
    """

    log = Logger()

    def __init__(self, now: Callable[[], float], domain: str = "localhost", capacity: int = CAPACITY) -> None:
        self._now = now
        self._domain = domain
        self._capacity = capacity
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def delayFor(self, peer: str, user: str = "") -> float:
        """Seconds to wait before that peer may try (that user).

        :param peer: an IP address; empty or a path for a Unix socket.
        :param user: as the client wrote it, empty while it is not known.
        """
        network = _networkOf(peer)
        ofUser = _delay(self._count(network, user) - 1) if user else 0.0
        return max(ofUser, _delay(self._count(network, "") - USERS_FREE))

    def failed(self, user: str, service: str, peer: str, reason: str) -> None:
        """Count a failed login and write its line."""
        network = _networkOf(peer)
        isFirst = not self._count(network, user)
        self._add(network, user)
        if isFirst and network:
            self._add(network, "")
        self.log.warn(FAILED, user=escape(user), service=service or "-", peer=peer or "-", reason=reason)

    def succeeded(self, account: str, service: str, peer: str) -> None:
        """Forget that user's failures from there; those of others stay."""
        network = _networkOf(peer)
        self._failures.pop((network, self._spell(account)), None)

    def _count(self, network: str, user: str) -> int:
        count, last = self._failures.get((network, self._spell(user)), (0, 0.0))
        return count if self._now() - last < FORGET else 0

    def _add(self, network: str, user: str) -> None:
        key = (network, self._spell(user))
        self._failures[key] = (self._count(network, user) + 1, self._now())
        self._failures.move_to_end(key)
        while len(self._failures) > self._capacity or self._now() - next(iter(self._failures.values()))[1] >= FORGET:
            self._failures.popitem(last=False)

    def _spell(self, user: str) -> str:
        """One key for all spellings of a name."""
        try:
            return accountName(user, self._domain)
        except ValueError:
            return user[:320]


def escape(text: str) -> str:
    """Text from a client as it may stand in a log line: printable ASCII without spaces, angle brackets and backslashes.

    Other characters are written by their numbers, as in Python's strings. What is longer than 128 characters is cut.
    """
    shown = _UNSAFE.sub(_number, text[:_USER_SHOWN])
    return shown + ("..." if len(text) > _USER_SHOWN else "")


def _number(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _delay(excess: int) -> float:
    """Seconds for so many failures above those that are free."""
    return min(LONGEST, 2.0 ** (min(excess, 10) - 1)) if excess > 0 else 0.0


def _networkOf(peer: str) -> str:
    """What is counted together: an IPv4 address, an IPv6 /64; empty for this machine itself."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return "" if address.is_loopback else str(address)
