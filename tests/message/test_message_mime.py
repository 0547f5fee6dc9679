"""The MIME tree: the same as the standard library's on well-formed mail, and some definite tree on everything else."""

from __future__ import annotations

import email
import email.encoders
import email.message
import email.policy
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import mime, preview, section, summary
from mailfw.message.address import entries
from mailfw.message.mime import Part, scan


def multipart(boundary: str, *parts: str, subtype: str = "mixed", preamble: str = "", epilogue: str = "") -> str:
    inside = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n{preamble}{inside}--{boundary}--{epilogue}'


def shape(part: Part) -> object:
    """The tree as nested lists of media types."""
    kind = part.contentType.mediaType.decode()
    return [kind, *map(shape, part.children)] if part.children else kind


def bodies(content: bytes) -> list[bytes]:
    """The bodies of all leaves."""
    return [content[part.bodyStart : part.end] for part in scan(content).walk() if not part.children]


PLAIN = "Content-Type: text/plain\r\n\r\n"
B = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "expected", "leaves"),
    [
        ("", "text/plain", [""]),
        ("body only", "text/plain", [""]),
        ("Subject: x\r\n\r\nbody", "text/plain", ["body"]),
        (multipart("b", PLAIN + "1", PLAIN + "2\r\n"), ["multipart/mixed", "text/plain", "text/plain"], ["1", "2\r\n"]),
        (multipart("b", "\r\n1", preamble="p\r\n", epilogue="\r\ne"), ["multipart/mixed", "text/plain"], ["1"]),
        # Parts without a header, without a body, without anything.
        (multipart("b", "\r\n", PLAIN, ""), ["multipart/mixed", *["text/plain"] * 3], ["", "", ""]),
        (B + "--b\r\n--b\r\n--b--", ["multipart/mixed", *["text/plain"] * 2], ["", ""]),
        # Bare line feeds, and white space after a delimiter.
        (multipart("b", PLAIN + "1", "\r\n2").replace("\r", ""), ["multipart/mixed", "text/plain", "text/plain"], ["1", "2"]),
        (B + "--b \t\r\n\r\n1\r\n--b-- \r\n", ["multipart/mixed", "text/plain"], ["1"]),
        # Boundaries that are prefixes of each other, either way round.
        (
            multipart("b", multipart("bb", PLAIN + "1", PLAIN + "2"), PLAIN + "3"),
            ["multipart/mixed", ["multipart/mixed", "text/plain", "text/plain"], "text/plain"],
            ["1", "2", "3"],
        ),
        (
            multipart("bb", multipart("b", PLAIN + "1", PLAIN + "2"), PLAIN + "3"),
            ["multipart/mixed", ["multipart/mixed", "text/plain", "text/plain"], "text/plain"],
            ["1", "2", "3"],
        ),
        # Never closed: the last part reaches to the end; an outer delimiter closes what is inside.
        (B + "--b\r\n\r\n1\r\n", ["multipart/mixed", "text/plain"], ["1\r\n"]),
        (
            multipart("o", "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n1", "\r\n2"),
            ["multipart/mixed", ["multipart/mixed", "text/plain"], "text/plain"],
            ["1", "2"],
        ),
        # An inner multipart with the outer's own boundary ends before it begins.
        (
            multipart("b", 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n', "\r\n2"),
            ["multipart/mixed", "text/plain", "text/plain"],
            ["", "2"],
        ),
        # No boundary, an empty one, one that never comes: somebody can still read it.
        ("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n1\r\n--b--", "text/plain", ["--b\r\n\r\n1\r\n--b--"]),
        ('Content-Type: multipart/mixed; boundary=""\r\n\r\nx', "text/plain", ["x"]),
        (B + "x\r\n--c\r\n", "text/plain", ["x\r\n--c\r\n"]),
        (B + "--b--\r\n", "text/plain", ["--b--\r\n"]),
        ("Content-Type: multipart/mixed; boundary=b", "text/plain", [""]),
        # What looks like a delimiter and is none.
        (
            B + "--b\r\n\r\n1 --b\r\n--bc\r\n--b-\r\n--b x\r\n --b\r\n--b--\r\n",
            ["multipart/mixed", "text/plain"],
            ["1 --b\r\n--bc\r\n--b-\r\n--b x\r\n --b"],
        ),
        # A message in a message, and a digest, whose parts are messages.
        (
            "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody",
            ["message/rfc822", "text/plain"],
            ["body"],
        ),
        (
            multipart("b", "\r\nSubject: 1\r\n\r\nx", PLAIN + "2", subtype="digest"),
            ["multipart/digest", ["message/rfc822", "text/plain"], "text/plain"],
            ["x", "2"],
        ),
        (
            multipart("o", "Content-Type: message/rfc822\r\n\r\n" + multipart("i", PLAIN + "1"), PLAIN + "2"),
            ["multipart/mixed", ["message/rfc822", ["multipart/mixed", "text/plain"]], "text/plain"],
            ["1", "2"],
        ),
        ("Content-Type: message/delivery-status\r\n\r\nA: b", "message/delivery-status", ["A: b"]),
        ("Content-Type: nonsense\r\n\r\nx", "text/plain", ["x"]),
        (multipart("a\r\n b", "\r\n1").replace("--a\r\n b", "--a b"), ["multipart/mixed", "text/plain"], ["1"]),
        (multipart("b(c)'+_,./:=?", "\r\n1").replace('?"', '? "'), ["multipart/mixed", "text/plain"], ["1"]),
    ],
)  # fmt: skip
def test_trees(content: str, expected: object, leaves: list[str]) -> None:
    octets = content.encode()
    assert shape(scan(octets)) == expected
    assert bodies(octets) == [leaf.encode() for leaf in leaves]


def nested(depth: int) -> bytes:
    """Multiparts within each other, with the text at the bottom."""
    opened = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    closed = "".join(f"\r\n--b{n}--" for n in reversed(range(depth)))
    return (opened + PLAIN + "bottom" + closed).encode()


def depthOf(root: Part) -> int:
    depth, level = 0, [root]
    while level := [child for part in level for child in part.children]:
        depth += 1
    return depth


def test_aThousandLevelsDeepIsReadToTheBound() -> None:
    content = nested(1000)
    root = scan(content)
    assert depthOf(root) == mime.MAX_DEPTH
    *_, last = root.walk()
    assert last.contentType.mediaType == b"application/octet-stream"
    assert b"bottom" in content[last.bodyStart : last.end]
    assert shape(scan(nested(3))) == ["multipart/mixed", ["multipart/mixed", ["multipart/mixed", "text/plain"]]]


def test_messagesInMessagesAreReadToTheBound() -> None:
    root = scan(b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"Subject: bottom\r\n\r\nbody")
    assert depthOf(root) == mime.MAX_DEPTH
    summary.summarisePart(root, b"")


def test_partsAreReadToTheBoundAndTheLastReachesToTheEnd() -> None:
    content = multipart("b", *["\r\nx"] * (mime.MAX_PARTS + 100)).encode()
    root = scan(content)
    assert sum(1 for _ in root.walk()) == mime.MAX_PARTS
    assert root.children[-1].end == len(content)
    assert content[root.children[-2].bodyStart : root.children[-2].end] == b"x"


def test_headersAreReadToTheBoundAllPartsTogether() -> None:
    part = "Content-Type: text/html\r\nX-Long: " + "x" * 100_000 + "\r\n\r\nbody"
    content = multipart("b", *[part] * 30).encode()
    kinds = [child.contentType.mediaType for child in scan(content).children]
    assert kinds == [b"text/html"] * 21 + [b"text/plain"] * 9
    assert bodies(content) == [b"body"] * 30


def test_linesAreLineBreaks() -> None:
    content = multipart("b", PLAIN + "1\r\n2", "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n").encode()
    root = scan(content)
    assert [part.lines(content) for part in root.walk()] == [content.count(b"\n") - 2, 1, 3, 1]


leafBodies = st.text("ab \t=-\xe4日", max_size=30).map(lambda text: text.encode())
leafTypes = st.sampled_from([("text", "plain"), ("text", "html"), ("image", "png"), ("application", "pdf")])


@st.composite
def wellFormed(draw: st.DrawFn, depth: int = 3) -> email.message.Message:
    """Mail as the standard library makes it."""
    message = email.message.Message(policy=email.policy.compat32)
    kind = draw(st.sampled_from(["leaf", "leaf", "multipart", "multipart", "message"] if depth else ["leaf"]))
    if kind == "leaf":
        maintype, subtype = draw(leafTypes)
        message["Content-Type"] = f"{maintype}/{subtype}"
        message.set_payload(draw(leafBodies))
        if draw(st.booleans()):
            (email.encoders.encode_base64 if draw(st.booleans()) else email.encoders.encode_quopri)(message)
        else:
            message.set_payload(draw(st.text("ab -\n", max_size=30)))
        return message
    if kind == "message":
        message["Content-Type"] = "message/rfc822"
        message.attach(draw(wellFormed(depth=depth - 1)))
        return message
    message["Content-Type"] = f"multipart/{draw(st.sampled_from(['mixed', 'alternative', 'digest']))}"
    message.preamble = draw(st.sampled_from([None, "preamble\n"]))
    for part in draw(st.lists(wellFormed(depth=depth - 1), min_size=1, max_size=3)):
        message.attach(part)
    message.set_boundary(draw(st.text("abc=_?", min_size=1, max_size=3)) + f".{draw(st.integers(0, 10**6))}.{depth}")
    return message


@given(wellFormed(), st.booleans())
def test_structureEqualsTheStandardLibrarys(made: email.message.Message, isCRLF: bool) -> None:
    content = made.as_bytes(policy=email.policy.compat32.clone(linesep="\r\n" if isCRLF else "\n", max_line_length=0))
    theirs = email.message_from_bytes(content)
    root = scan(content)
    ourParts, theirParts = list(root.walk()), list(theirs.walk())
    assert [part.contentType.mediaType.decode() for part in ourParts] == [part.get_content_type() for part in theirParts]
    for ours, other in zip(ourParts, theirParts, strict=True):
        if not ours.children:
            assert section.decoded(ours, content) == other.get_payload(decode=True)


BROKEN = st.lists(
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b"--b", b"--", b"--bb--", b"--c", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
         b"Content-Type: multipart/digest; boundary=\"bb\"\n\n", b"Content-Type: message/rfc822\r\n\r\n", b"\0", b" ", b"x",
         b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: multipart/x; boundary=c\r\n", b"Subject: \xff=?", b"\t"]
    ),
    max_size=60,
).map(b"".join)  # fmt: skip


@given(st.one_of(st.binary(), BROKEN))
def test_anyOctetsAreATree(content: bytes) -> None:
    root = scan(content)
    assert (root.start, root.end) == (0, len(content))
    for part in root.walk():
        assert part.start <= part.bodyStart <= part.end
        at = part.bodyStart
        for child in part.children:
            assert at <= child.start <= child.end <= part.end
            at = child.end
        assert part.lines(content) == content.count(b"\n", part.bodyStart, part.end)
        assert bool(part.children) == (part.contentType.isMultipart or part.contentType.isMessage)
    summary.summarise(content)
    preview.preview(root, content)


SIZE = 1 << 18
rnd = random.Random(5)


def filled(piece: bytes) -> bytes:
    return piece * (SIZE // len(piece))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "dashes": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"\n--"),
    "nearly delimiters": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"\n--bx"),
    "delimiters": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"--b\n"),
    "spaces after delimiters": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"\n--b" + b" " * 60 + b"x"),
    "prefixes of prefixes": lambda: b"".join(
        b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (b"b" * n, b"b" * n) for n in range(1, 99)
    ) + filled(b"\n--" + b"b" * 99 + b"x"),
    "deep": lambda: nested(4000),
    "deep messages": lambda: filled(b"Content-Type: message/rfc822\n\n"),
    "one boundary all the way down": lambda: filled(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"),
    "header lines": lambda: filled(b"A:\n"),
    "one long name": lambda: filled(b"a"),
    "one folded line": lambda: b"Subject: " + filled(b"\r\n a"),
    "carriage returns": lambda: b"Subject: " + filled(b"\r"),
    "colons": lambda: b"To: " + filled(b"a@b:"),
    "routes": lambda: b"To: <" + filled(b"@a,"),
    "commas": lambda: b"To: " + filled(b","),
    "quotes": lambda: b"To: " + filled(b'"'),
    "escaped quotes": lambda: b"To: " + filled(b'"\\"\\'),
    "parentheses": lambda: b"To: " + filled(b"("),
    "parentheses and escapes": lambda: b"To: " + filled(b"(\\)"),
    "brackets": lambda: b"To: " + filled(b"["),
    "angle brackets": lambda: b"To: " + filled(b"<"),
    "words without end": lambda: b"To: " + filled(b"a "),
    "addresses": lambda: b"To: " + filled(b"a@b,"),
    "encoded-words": lambda: b"Subject: " + filled(b"=?x?q?=ff?= "),
    "half encoded-words": lambda: b"Subject: " + filled(b"=?utf-8?q?"),
    "replies": lambda: b"Subject: " + filled(b"Re: "),
    "blobs": lambda: b"Subject: " + filled(b"["),
    "forwards": lambda: b"Subject: " + filled(b"[fwd:") + b"]" * SIZE,
    "trailers": lambda: b"Subject: " + filled(b"(fwd) "),
    "white space": lambda: b"Subject: a" + filled(b" ") + b"b",
    "references": lambda: b"References: " + filled(b"<a@"),
    "ids": lambda: b"References: " + filled(b'<"a">'),
    "dates": lambda: b"Date: " + filled(b"("),
    "parameters": lambda: b"Content-Type: text/plain" + filled(b";a"),
    "parameters in sections": lambda: b"Content-Type: text/plain" + filled(b";a*1*=b"),
    "comments in parameters": lambda: b"Content-Type: text/plain; a=b" + filled(b" (c) "),
    "quotes in parameters": lambda: b"Content-Disposition: x" + filled(b';a="\\"'),
    "languages": lambda: b"Content-Language: " + filled(b"de,"),
    "tags": lambda: b"Content-Type: text/html\n\n" + filled(b"<"),
    "comments in HTML": lambda: b"Content-Type: text/html\n\n" + filled(b"<!--"),
    "styles": lambda: b"Content-Type: text/html\n\n" + filled(b"<style>"),
    "entities": lambda: b"Content-Type: text/html\n\n" + filled(b"&amp"),
    "quoted lines": lambda: b"Content-Type: text/plain\n\n" + filled(b">\n"),
    "spaces in quoted-printable": lambda: b"Content-Transfer-Encoding: quoted-printable\n\n" + filled(b" ") + b"x",
    "padding": lambda: b"Content-Transfer-Encoding: base64\n\n" + filled(b"="),
    "noise": lambda: rnd.randbytes(SIZE),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_noMessageTakesLong(name: str) -> None:
    """A quarter of a MiB: what is linear takes milliseconds, what is quadratic a minute."""
    content = HOSTILE[name]()
    start = time.thread_time()
    root = scan(content)
    summary.summarisePart(root, content)
    preview.preview(root, content)
    for part in root.walk():
        section.decoded(part, content)
    entries(root.value(b"to") or b"")
    assert time.thread_time() - start < 2


def test_aLargeMessageIsNotSearchedForEveryLevel() -> None:
    """Each level would be searched whole; the work allowed for ends that, and the rest stays as it is."""
    content = nested(90).replace(b"bottom", b"x" * (8 << 20))
    start = time.thread_time()
    *_, last = scan(content).walk()
    assert last.contentType.mediaType == b"application/octet-stream"
    assert time.thread_time() - start < 2
