"""Previews: what a list of messages shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.mime import scan
from mailfw.message.preview import MAX_CHARACTERS, preview


def previewOf(content: bytes) -> str:
    return preview(scan(content), content)


def html(text: str) -> bytes:
    return b"Content-Type: text/html; charset=utf-8\r\n\r\n" + text.encode()


def multipart(*parts: bytes) -> bytes:
    inside = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + inside + b"--b--\r\n"


PLAIN = b"\r\nplain text"
ATTACHED = b"Content-Disposition: ATTACHMENT; filename=x\r\n\r\nattached"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Subject: x\r\n\r\n  Hello,\r\n\r\n\tworld \xc2\xa0 ! \r\n", "Hello, world !"),
        (b"", ""),
        (multipart(html("<p>rich"), PLAIN), "plain text"),
        (multipart(ATTACHED, html("<p>rich"), ATTACHED), "rich"),
        (multipart(b"\r\n", html("<p>rich")), "rich"),
        (multipart(ATTACHED), ""),
        (b"Content-Type: image/png\r\n\r\nx", ""),
        (b"Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8NLJ18XU\r\n", "Привет"),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe", "Grüße"),
        (b"Content-Transfer-Encoding: x-odd\r\n\r\nx", ""),
        # Quotations at the start are passed over, with the line that says whose they are; elsewhere they stay.
        (b"\r\nOn Monday, Ada wrote:\r\n> old\r\n>> older\r\n\r\nnew\r\n> old again", "new > old again"),
        (b"\r\nAda schrieb:\r\n\r\n> old\r\nnew", "new"),
        (b"\r\n-----Original Message-----\r\nnew", "new"),
        (b"\r\n> all of it\r\n> is old\r\n", "> all of it > is old"),
        (b"\r\nDear all:\r\nnew", "Dear all: new"),
        # HTML: markup and what is never shown goes; text that looks like markup stays.
        (
            html("<html><head><title>t</title><style>p{}</style></head><body><p>A&nbsp;b &amp; c&#33;</p></body></html>"),
            "A b & c!",
        ),
        (html("<script>if (a<b) x()</script><!-- <p>no</p> -->a<br>b"), "a b"),
        (html("1 < 2 <b>but</b> 3 > 2"), "1 < 2 but 3 > 2"),
        (html("seen<style>p{} never closed"), "seen"),
        (html("seen<!-- never closed"), "seen"),
        (html("&lt;b&gt;"), "<b>"),
        # Characters that fill a preview with nothing.
        ("\r\na\u200b\u200c\u034f\u00adb\ufeff\u202ec".encode(), "abc"),
    ],
)
def test_previews(content: bytes, expected: str) -> None:
    assert previewOf(content) == expected


def test_previewsAreShortAndLookOnlyAtTheBeginning() -> None:
    found = previewOf(b"\r\n" + "wörd ".encode() * 100_000)
    assert len(found) <= MAX_CHARACTERS
    assert set(found.split()) <= {"wörd", *("wörd"[:n] for n in range(1, 4))}
    assert previewOf(b"\r\n" + b" " * 100_000 + b"late") == ""


@pytest.mark.parametrize("shift", range(4))
def test_aCharacterThatIsCutMakesNoDifference(shift: int) -> None:
    found = previewOf(b"\r\n" + b" " * (16384 - 100 + shift) + "日本".encode() * 100)
    assert set(found) == {"日", "本"}


@given(st.binary(max_size=200), st.sampled_from([b"plain", b"html"]))
def test_aPreviewIsOneLine(body: bytes, subtype: bytes) -> None:
    found = previewOf(b"Content-Type: text/%b\r\n\r\n" % subtype + body)
    assert len(found) <= MAX_CHARACTERS
    assert "\n" not in found and "\r" not in found and "\0" not in found
    found.encode("utf-8")
