"""Contents and names that have broken stores before, all made for tests."""

from __future__ import annotations

LETTER = b"From: jsmith@example.org\r\nTo: mbrain@example.org\r\nSubject: Lunch\r\n\r\nTomorrow?\r\n"
REPLY = b"Return-Path: <mbrain@example.org>\r\nSubject: Re: Lunch\r\n\r\nYes.\r\n"

_OTHERS = b"Status: RO\r\nX-Status: A\r\n folded\r\nX-UID: 7\r\nContent-Length: 3\r\nX-Mailfw-Status: x\r\n\r\nLines: 9\r\n"
_TEXTBOOK = b"From: x\r\nTo: y\r\nX-Mailfw-Stored: Mon Jan  1 00:00:00 2024\r\n\r\n\r\nFrom: x\r\nTo: y\r\n>From: x\r\n"

CONTENTS = {
    "a letter": LETTER,
    "empty": b"",
    "one line end": b"\r\n",
    "no body": b"Subject: x\r\n\r\n",
    "no header": b"\r\nbody\r\n",
    "no final line end": b"Subject: x\r\n\r\nbody",
    "bare LF": b"Subject: x\n\nbody\n",
    "bare CR": b"Subject: x\r\rbody\r",
    "line ends mixed": b"a\nb\r\nc\rd\r\r\ne\n\r\n\n",
    "ends in blank lines": b"Subject: x\r\n\r\nbody\r\n\r\n\r\n",
    "NULs and high octets": b"Subject: \x00\xff\r\n\r\n" + bytes(range(256)) + b"\r\n",
    "mbox separators": b"From x Mon Jan  1 00:00:00 2024\r\n\r\nFrom x\r\n>From x\r\n>>From x Mon Jan  1 00:00:00 2024\r\n",
    "textbook separators": _TEXTBOOK,
    "headers of other programs": _OTHERS,
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\n",
    "a long line": b"Subject: x\r\n\r\n" + b"x" * 300_000 + b"\r\n",
    "many lines": b"Subject: x\r\n\r\n" + b"From here to there\r\n" * 30_000,
}

HOSTILE_NAMES = [
    "..", ".", "../../x", "a/../../b", "~", "~root", "a.b", "a.b.c", ".hidden", "trailing.", "trailing ", " leading", "-rf",
    "a\\b", "a\\2eb", "&", "a&b", "&AC8-", "%2F", "%", "a%2Fb", "^", "^a", "a:2,S", "a,b", "cur", "new", "tmp", "cur/new",
    "x.TXT", "x.txt", "x.lock", "Entwürfe", "台北", "\U0001f4ec", "e\u0301", "é", "Case", "case", "CASE", "cAsE", "INBOX/sub",
    "inboxes", "a\x00b", "a\nb", "\x7f", "dovecot-uidlist", "maildirfolder", "x/y/z", "x/y", "x",
]  # fmt: skip
"""Names of folders; each must be a folder of its own, or refused."""

HOSTILE_ACCOUNTS = [
    "mbrain@example.net", "example.net@example.org", "cur@example.net", "new@example.org", "../x@example.org", "..@example.org",
    "a/b@example.org", "a@example.org", "b@a.example.org", ".a@example.org", "a.@example.org", "a.b@example.org",
    "a@b.example.org", "x.txt@example.org", "x@example.org", "x@foo.txt", "foo@example.org", "foo.txt@example.org", "x@foo",
    "%61@example.org", "mbrain+tag@example.org", "mbrain'\"`$(x)@example.org", "ü@example.org",
]  # fmt: skip
"""Names of accounts, where example.org is the first domain; each must be an account of its own, or refused."""

TOO_LONG = ["x" * 300, "ü" * 200, "x/" + "y" * 300]
"""Names of folders that few file systems take as they are."""
