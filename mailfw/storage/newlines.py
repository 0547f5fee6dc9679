"""Line ends on the wire and in files.

A protocol sends CRLF; Unix files hold LF. A *bare* LF or CR is one without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def toCRLF(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets with every bare LF as CRLF; bare CRs stay."""
    held = b""
    for chunk in chunks:
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        if held:
            chunk = chunk[:-1]
        yield blockToCRLF(chunk)
    if held:
        yield held


def blockToCRLF(block: bytes) -> bytes:
    """`toCRLF` of one block that does not end between CR and LF."""
    return block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def bareLFs(chunks: Iterable[bytes]) -> int:
    """How many LFs have no CR before them."""
    count = 0
    last = b""
    for chunk in chunks:
        count += chunk.count(b"\n") - chunk.count(b"\r\n") - (last == b"\r" and chunk.startswith(b"\n"))
        last = chunk[-1:] or last
    return count


def wholeLines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets in blocks that end after an LF, but for the last."""
    begun: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, chunk[:end]])
            begun = [chunk[end:]] if end < len(chunk) else []
        elif chunk:
            begun.append(chunk)
    if begun:
        yield b"".join(begun)
