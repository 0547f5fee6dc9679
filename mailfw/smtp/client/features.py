"""What a server announced in its reply to EHLO or LHLO (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

_EHLO_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =](.*))?")
_NUMBER = re.compile(r"[0-9]{1,18}")


@frozen
class Features:
    """`keyword in features` asks whether an extension was announced.

    :ivar keywords: in capitals, each with the words after it.
    """

    keywords: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Features:
        """`ehlo-line = ehlo-keyword *( SP ehlo-param )`, the lines after the first. What is none is passed over; `AUTH=LOGIN`, as
        servers wrote before there was a standard, counts."""
        found: dict[str, tuple[str, ...]] = {}
        for line in lines:
            match = _EHLO_LINE.fullmatch(line.strip())
            if match:
                keyword = match[1].upper()
                found[keyword] = (*found.get(keyword, ()), *(match[2] or "").split())
        return cls(found)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int:
        """Octets that a message may have; 0: nothing is said (RFC 1870 §4)."""
        return _number(next(iter(self.keywords.get("SIZE", ())), ""))

    @property
    def minimumBy(self) -> int:
        """Seconds in which it can promise at best to deliver or return a message (RFC 2852 §3); 0: nothing is said."""
        return _number(next(iter(self.keywords.get("DELIVERBY", ())), ""))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms (RFC 4954 §3)."""
        return self.keywords.get("AUTH", ())

    def limit(self, name: str) -> int:
        """`RCPTMAX`, `MAILMAX` or `RCPTDOMAINMAX` (RFC 9422 §3); 0: there is none."""
        for word in self.keywords.get("LIMITS", ()):
            key, _, value = word.partition("=")
            if key.upper() == name:
                return _number(value)
        return 0


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0
