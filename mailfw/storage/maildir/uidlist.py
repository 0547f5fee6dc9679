"""`dovecot-uidlist`: the UIDs that Dovecot gave to a folder's messages; version 1 of the format is Courier's too.

    3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
    25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,
    25017 W2481 :1276533073.M242911P3632.kurkku:2,F

    1 1275660208 25022
    25006 1276528487.M364837P9451.kurkku,S=1355,W=1394:2,

(https://doc.dovecot.org/2.3/admin_manual/mailbox_formats/maildir/)
"""

from __future__ import annotations

from collections.abc import Mapping

_HIGHEST = 0xFFFFFFFF

UIDList = tuple[int, int, Mapping[str, int]]
"""UIDVALIDITY, UIDNEXT, and the UID for each base name."""


def parse(content: bytes) -> UIDList | None:
    """Read the file; None when it is damaged: then nobody has numbered the folder. A line that is damaged is passed over.

    Of two lines for one name the later counts.
    """
    header, *lines = content.decode("utf-8", "surrogateescape").split("\n")
    version, *words = header.split(" ")
    fields = dict(zip("VN", words, strict=False)) if version == "1" else {word[0]: word[1:] for word in words if word}
    validity, following = _number(fields.get("V", "")), _number(fields.get("N", ""))
    if version not in ("1", "3") or not validity or not following:
        return None
    uids: dict[str, int] = {}
    for line in lines:
        number, _, rest = line.partition(" ")
        name = rest if version == "1" else rest.partition(":")[2]
        uid = _number(number)
        if uid and name:
            uids[name.partition(":")[0]] = uid
    return validity, max(following, max(uids.values(), default=0) + 1), uids


def _number(text: str) -> int:
    """A number from 1 to 2**32 - 1; 0 where it is none."""
    number = int(text) if text.isdecimal() and len(text) <= 10 else 0
    return number if number <= _HIGHEST else 0
