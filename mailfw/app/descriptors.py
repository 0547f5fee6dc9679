"""How many files and sockets the process may have open, and what that leaves for connections.

Once there are none left, nothing can be spooled, stored or answered. So a flood of connections must meet the limit on
connections, which says why, before it meets the system's.
"""

from __future__ import annotations

import resource

from attrs import evolve
from twisted.logger import Logger

from mailfw.net.limits import Limits

RESERVE = 256
"""Descriptors for all that is no session: databases, spools, mail in files, the log, clients that are being refused."""

_log = Logger("mailfw.app")


def withinDescriptors(limits: Limits) -> Limits:
    """The limits, with no more connections than there are descriptors for; as many as the system allows are asked for first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + RESERVE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else max(soft, min(wanted, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = limits.connections if soft == resource.RLIM_INFINITY else max(soft - RESERVE, soft // 2)
    if room >= limits.connections:
        return limits
    _log.warn("{room} connections, no more: the system allows {soft} open files (LimitNOFILE, ulimit -n)", room=room, soft=soft)
    return evolve(limits, connections=room)
