"""The lives of messages, read from the lines that the server logs about them. Pure.

Two lines tell of a message, and both name what follows: `smtp.server` says when one was accepted, for whom, and under which
number each part of it is in the queue; `delivery.relay` says of each attempt what came of it. A third, of `smtp.server` too, says
what was refused. Text and JSON are read alike. A
line that a client's words made look like one of these is told apart by its beginning, which the server writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from attrs import asdict, define, field, frozen

_TEXT = re.compile(r"(\S+) (debug|info|warn|error|critical) \[([^\]]*)\] (.*)")
_ACCEPTED = re.compile(r"message (?P<messageId>\S+) from <(?P<sender>.*?)>, (?P<size>\d+) octets: (?P<fates>.*)")
_ATTEMPT = re.compile(r"queue (?P<queueId>\d+) from <(?P<sender>.*?)> to <(?P<recipient>.*?)>: (?P<what>.*)")
_REFUSED = re.compile(r"refused from (?P<peer>\S+), <(?P<sender>.*?)> to (?P<people>nobody yet|<.*?>): (?P<said>\d{3} .*)")
_RECIPIENT = re.compile(r"(?:^|, )<(.*?)> (?:delivered|queued|deferred|failed)\b")
_NAMED = re.compile(r"(?:^|, )<(.*?)>(?=, |$)")
_QUEUED = re.compile(r"queued \(queue ([\d, ]+)\)")


@frozen
class Event:
    """One line about a message. :ivar time: as the log has it."""

    time: str
    text: str


@define(eq=False)
class Life:
    """What is known of one message.

    :ivar messageId: of the line that accepted it; empty: we made it ourselves, the line is not in this log, or it was refused.
    :ivar queued: its numbers in the queue.
    """

    messageId: str = ""
    sender: str = ""
    people: list[str] = field(factory=list)
    queued: list[int] = field(factory=list)
    events: list[Event] = field(factory=list)

    @property
    def title(self) -> str:
        """Which message it is, in one line."""
        number = f"queue {', '.join(map(str, self.queued))}" if self.queued else "not taken:"
        name = f"message {self.messageId}" if self.messageId else number
        people = ", ".join(f"<{each}>" for each in self.people)
        return f"{name} from <{self.sender}>{people and f' to {people}'}"

    def concerns(self, address: str) -> bool:
        """Whether it is from or to that address."""
        return address.lower() in (self.sender.lower(), *(each.lower() for each in self.people))

    def asJSON(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def livesOf(lines: Iterable[str], address: str) -> list[Life]:
    """The messages from or to an address, in the order in which they came."""
    lives: list[Life] = []
    byNumber: dict[int, Life] = {}
    for line in lines:
        read = _read(line)
        if read is None:
            continue
        moment, text = read
        if match := _ACCEPTED.fullmatch(text):
            life = _accepted(match)
            life.events.append(Event(moment, f"accepted, {match['size']} octets: {match['fates']}"))
            lives.append(life)
            byNumber |= dict.fromkeys(life.queued, life)
        elif match := _ATTEMPT.fullmatch(text):
            number = int(match["queueId"])
            found = byNumber.get(number)
            if found is None:
                found = byNumber[number] = Life(sender=match["sender"], queued=[number])
                lives.append(found)
            if match["recipient"] not in found.people:
                found.people.append(match["recipient"])
            found.events.append(Event(moment, f"<{match['recipient']}> {match['what']}"))
        elif match := _REFUSED.fullmatch(text):
            life = Life(sender=match["sender"], people=_NAMED.findall(match["people"]))
            life.events.append(Event(moment, f"refused from {match['peer']}: {match['said']}"))
            lives.append(life)
    return [life for life in lives if life.concerns(address)]


def _accepted(match: re.Match[str]) -> Life:
    queued = [int(number) for numbers in _QUEUED.findall(match["fates"]) for number in numbers.split(", ")]
    return Life(match["messageId"], match["sender"], _RECIPIENT.findall(match["fates"]), list(dict.fromkeys(queued)))


def _read(line: str) -> tuple[str, str] | None:
    """Time and text of a line, in either format; None: it is none of ours."""
    if line.startswith("{"):
        try:
            event = json.loads(line)
            return str(event["time"]), str(event["text"])
        except (ValueError, KeyError, TypeError):
            return None
    match = _TEXT.fullmatch(line.rstrip("\r\n"))
    return (match[1], match[4]) if match else None
