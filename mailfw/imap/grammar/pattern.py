"""Patterns of LIST and LSUB (RFC 3501 §6.3.8), matched in time proportional to the name, whatever the pattern is.

A pattern is compared with names in the encoding of the wire, so that a wildcard may stand anywhere in it.
"""

from __future__ import annotations

from collections import defaultdict

DELIMITER = b"/"
_STAR, _PERCENT, _SLASH = b"*%/"
_INBOX = b"INBOX"

MAX_PATTERN = 4096
"""Octets of a pattern; longer ones match nothing, for no name is that long."""


def _squeezed(pattern: bytes) -> bytes:
    """Runs of wildcards as the one wildcard that means the same: each is then followed by something else."""
    out = bytearray()
    for octet in pattern:
        if octet in (_STAR, _PERCENT) and out and out[-1] in (_STAR, _PERCENT):
            if octet == _STAR:
                out[-1] = _STAR
        else:
            out.append(octet)
    return bytes(out)


class Pattern:
    """A compiled pattern: all the places in it that a name can have reached so far, as the bits of one number.

    `*` matches anything, `%` anything but the hierarchy delimiter; INBOX is matched in any case.
    """

    def __init__(self, text: bytes) -> None:
        pattern = _squeezed(text[:MAX_PATTERN])
        self._steps: defaultdict[int, int] = defaultdict(int)
        self._foldedSteps: defaultdict[int, int] = defaultdict(int)
        self._star = self._percent = 0
        for position, octet in enumerate(pattern):
            bit = 1 << position
            if octet == _STAR:
                self._star |= bit
            elif octet == _PERCENT:
                self._percent |= bit
            else:
                self._steps[octet] |= bit
                for variant in {*bytes([octet]).lower(), *bytes([octet]).upper()}:
                    self._foldedSteps[variant] |= bit
        self._wild = self._star | self._percent
        self._prefix = pattern.partition(b"*")[0].partition(b"%")[0]
        self._final = 0 if len(text) > MAX_PATTERN else 1 << len(pattern)

    def matches(self, name: bytes) -> bool:
        """Whether the whole name, in the encoding of the wire, is matched."""
        wild = self._wild
        foldedLength = len(_INBOX) if name[:6] in (_INBOX, _INBOX + DELIMITER) else 0
        if not foldedLength and not name.startswith(self._prefix):
            return False
        reached = 1 | (wild & 1) << 1
        for position, octet in enumerate(name):
            steps = self._foldedSteps if position < foldedLength else self._steps
            stays = reached & (self._star if octet == _SLASH else wild)
            reached = (reached & steps.get(octet, 0)) << 1 | stays
            reached |= (reached & wild) << 1
            if not reached:
                return False
        return bool(reached & self._final)
