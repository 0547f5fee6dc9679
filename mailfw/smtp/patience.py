"""How long a client's mistakes are borne: at once at first, then ever more slowly, and not without end."""

from __future__ import annotations

from mailfw.net.limits import Limits
from mailfw.smtp.channel import Channel
from mailfw.smtp.reply import Reply, reply

TYPED = 5
"""Mistakes that a person may make before each further one takes longer to be answered."""

STALE = 20
"""Recipients that a stranger may name in vain before each further one takes longer to be answered: lists grow stale."""

GUESSES = 100
"""Those at which it is a search for our users, and over."""


class Patience:
    """With one session. Each method gives the answer to send, when it is time.

    :ivar isOver: the answer is the last one.
    """

    def __init__(self, channel: Channel, limits: Limits) -> None:
        self.isOver = False
        self._channel = channel
        self._limits = limits
        self._mistakes = 0
        self._guesses = 0
        self._failures = 0

    async def mistake(self, answer: Reply) -> Reply:
        """A command that makes no sense, or none here."""
        self._mistakes += 1
        if self._mistakes >= self._limits.badCommands:
            return self._end("too many errors")
        if self._mistakes > TYPED:
            await self._channel.pause(0.05 * (self._mistakes - TYPED))
        return answer

    async def guess(self, answer: Reply) -> Reply:
        """A stranger's recipient that there is none of."""
        self._guesses += 1
        if self._guesses >= GUESSES:
            return self._end("too many recipients that are not here")
        await self._channel.pause(min(1.0, 0.05 * max(0, self._guesses - STALE)))
        return answer

    async def failedLogin(self, answer: Reply) -> Reply:
        """A login that came to nothing."""
        self._failures += 1
        if self._failures >= self._limits.authFailures:
            return self._end("too many failed logins")
        await self._channel.pause(0.5 * self._failures)
        return answer

    def forgive(self) -> None:
        """A message was taken: mistakes made so far do not count."""
        self._mistakes = 0

    def _end(self, why: str) -> Reply:
        self.isOver = True
        return reply(421, "4.7.0", why)
