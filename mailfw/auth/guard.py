"""Holds back who guesses passwords, and writes the line by which fail2ban can shut him out.

Two counts make a login wait, both per network and both forgotten after a quiet quarter of an hour:

- failures of one user: from the second on, the next try may come 1 s after the last failure, doubling up to 30 s;
- different users who failed: from the eleventh on likewise, for all logins from there. (One user who fails again and
  again counts once: a forgotten telephone must not lock out the office that it stands in. And it is not for a user who
  has logged in from there before.) This machine itself is spared: a webmail on it speaks for everybody.

What comes in parallel stands in line (`turns`): of one user at most two logins are judged at once, of users who have
failed one; of different users from one network no more than could fail freely. A login that is in line behind a failure
waits as if it had come after it. A success ends the first count. Everything is bounded, and an account is never locked
for all: that would give a weapon to whoever knows its name.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any

from twisted.logger import Logger

from mailfw.auth.turns import Line, Turns
from mailfw.tally import Tally
from mailfw.values import Identity, accountName

LONGEST = 30.0
"""Seconds: the longest delay."""
FORGET = 900.0
"""Seconds without a failure after which it is all forgotten."""
CAPACITY = 20_000
USERS_FREE = 10
"""Different users of one network that may fail before the network as a whole is held back."""
AT_ONCE = 2
"""Logins of one user from one network that are judged at once."""
ROOM = 1000
"""Logins that may wait in one line while nobody has failed there."""
ROOM_HELD = 20
"""Those that may wait behind failures; the others are put off."""

ENTERED = "master login: user=<{user}> master=<{master}> service={service} peer={peer}"

FAILED = "login failed: user=<{user}> service={service} peer={peer} reason={reason}"
"""The line for fail2ban. `user` holds no `>`, no space and no control character; nothing but `user` comes from the
client.

    failregex = login failed: user=<[^>]*> service=\\S* peer=<HOST> reason=
"""

_UNSAFE = re.compile(r"[^\x21-\x7e]|[<>\\]")
_USER_SHOWN = 128


class LoginGuard:
    """Counts failed logins.

    :param reactor: IReactorTime.
    :param domain: the first configured domain.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, domain: str = "localhost", capacity: int = CAPACITY, tally: Tally | None = None
    ) -> None:
        self._logins = (tally or Tally()).logins
        self._now = reactor.seconds
        self._domain = domain
        self._capacity = capacity
        # By network, and user or (None) all its users: how many failures, and when the last was.
        self._failures: OrderedDict[tuple[str, str | None], tuple[int, float]] = OrderedDict()
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()  # users who have logged in, by network
        self._turns = Turns(reactor, self)

    def delayFor(self, peer: str, user: str = "") -> float:
        """Seconds for which that user's login from there is held back at least.

        :param peer: an IP address; empty or a path for a Unix socket.
        :param user: as the client wrote it; nothing is known of one who has not said it.
        """
        network = _networkOf(peer)
        user = self._spell(user)
        return max(self._heldAsUser(network, user), self._heldAsNetwork(network, user)) if user else 0.0

    async def admit(self, user: str, peer: str) -> AbstractContextManager[None]:
        """Wait for the turn of a login, which lasts until the context is left.

        :raises AuthenticationUnavailable: too many wait.
        """
        network, user = _networkOf(peer), self._spell(user)
        return await self._turns.take((network, user if not network else ""), network, user)

    def failed(self, user: str, service: str, peer: str, reason: str) -> None:
        """Count a failed login and write its line."""
        self._logins[service, "failed"] += 1
        network, name = _networkOf(peer), self._spell(user)
        isFirst = not self._count(network, name)
        self._add(network, name)
        if isFirst and network:
            self._add(network, None)
        self.log.warn(FAILED, user=escape(user), service=service or "-", peer=peer or "-", reason=reason)

    def succeeded(self, identity: Identity, service: str, peer: str) -> None:
        """Forget that user's failures from there; those of others stay. That a master came in is logged."""
        self._logins[service, "succeeded"] += 1
        key = (_networkOf(peer), identity.authenticatedAs or identity.account)
        self._failures.pop(key, None)
        self._welcome[key] = None
        self._welcome.move_to_end(key)
        if len(self._welcome) > self._capacity:
            self._welcome.popitem(last=False)
        if identity.authenticatedAs:
            account, master = escape(identity.account), escape(identity.authenticatedAs)
            self.log.warn(ENTERED, user=account, master=master, service=service or "-", peer=peer or "-")

    # --- What turns ask ----------------------------------------------------------------------------------------------

    def wait(self, user: str, line: Line) -> float:
        """Seconds until that user may be judged; `math.inf`: not before another has been."""
        network = line.network
        if user and line.underWay[user] >= max(1, AT_ONCE - self._count(network, user)):
            return math.inf
        isStranger = network and (network, user) not in self._welcome
        if isStranger and line.underWay.total() >= max(1, USERS_FREE - self._count(network, None)):
            return math.inf
        return max(self._heldAsUser(network, user), self._heldAsNetwork(network, user))

    def room(self, user: str, line: Line) -> int:
        """The length of the line at which that user is put off."""
        isHeld = self._heldAsUser(line.network, user) or self._heldAsNetwork(line.network, user)
        return ROOM_HELD if isHeld else ROOM

    # --- Counting ----------------------------------------------------------------------------------------------------

    def _heldAsUser(self, network: str, user: str) -> float:
        """Seconds that are left of what the user's own failures cost. Nobody can be guessed without a name."""
        return self._left(network, user, 1) if user else 0.0

    def _heldAsNetwork(self, network: str, user: str) -> float:
        """Seconds that are left of what everybody's failures cost who have not logged in from there."""
        return self._left(network, None, USERS_FREE) if network and (network, user) not in self._welcome else 0.0

    def _left(self, network: str, user: str | None, free: int) -> float:
        count, last = self._failures.get((network, user), (0, 0.0))
        since = self._now() - last
        return max(0.0, _delay(count - free) - since) if since < FORGET else 0.0

    def _count(self, network: str, user: str | None) -> int:
        count, last = self._failures.get((network, user), (0, 0.0))
        return count if self._now() - last < FORGET else 0

    def _add(self, network: str, user: str | None) -> None:
        key = (network, user)
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
