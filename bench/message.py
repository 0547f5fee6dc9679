"""How many messages a CPU second are scanned and summarised.

    python bench/message.py [--count N] [--corpus DIRECTORY]

The messages are made here, in the mix of a working mailbox: about 11 KiB each, half plain text, the rest multiparts
with HTML and attachments. `--corpus` names a directory that holds a package `mailbench` with a module `corpus`, whose
messages are used instead.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import random
import sys
import time
from collections.abc import Callable

from mailfw.message.envelope import envelope
from mailfw.message.mime import scan
from mailfw.message.structure import bodyStructure
from mailfw.message.summary import summarise

NAMES = ("Ada Lindqvist", "Ben Okafor", "Chiara Rossi", "Dana Novak", "Emre Yilmaz", "Fay Martin")
WORDS = ("mail", "queue", "store", "header", "folder", "reader", "sender", "letter", "answer", "notice", "report")


def made(number: int) -> bytes:
    """Message `number`, always the same."""
    rnd = random.Random(number)
    name = rnd.choice(NAMES)
    address = f"{name.lower().replace(' ', '.')}@example.org"
    lines = [
        f"Return-Path: <{address}>",
        f"Received: from relay{number % 7}.example.org (relay{number % 7}.example.org [192.0.2.{number % 250}])\r\n"
        f"\tby mx.example.net with ESMTPS id {number:08x}; Mon, 05 Jan 2026 10:00:{number % 60:02d} +0100",
        f"From: {name} <{address}>",
        "To: mbrain@example.net" + "".join(f', "{other}" <x@example.com>' for other in NAMES[: number % 4]),
        "Subject: " + ("Re: " if number % 3 else "") + " ".join(rnd.choices(WORDS, k=6)),
        f"Date: Mon, 05 Jan 2026 10:00:{number % 60:02d} +0100",
        f"Message-ID: <{number}.made@example.org>",
        f"References: <{number - 1}.made@example.org> <{number - 2}.made@example.org>",
        f"User-Agent: Made/{number % 9}",
        "MIME-Version: 1.0",
    ]
    prose = "".join(" ".join(rnd.choices(WORDS, k=10)) + "\r\n" for _ in range(rnd.randrange(10, 60)))
    plain = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{prose}"
    html = (
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        f"<html><body>{prose * 3}</body></html>\r\n"
    )
    body = plain
    if number % 2:
        body = _multipart("alternative", f"=_a{number}", plain, html)
    if number % 8 == 1:
        blob = base64.encodebytes(rnd.randbytes(40_000)).decode().replace("\n", "\r\n")
        attachment = (
            f'Content-Type: application/pdf; name="r{number}.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
            f'Content-Disposition: attachment; filename="r{number}.pdf"\r\n\r\n{blob}'
        )
        body = _multipart("mixed", f"=_m{number}", body, attachment)
    return ("\r\n".join(lines) + "\r\n" + body).encode()


def _multipart(subtype: str, boundary: str, *parts: str) -> str:
    inside = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n{inside}--{boundary}--\r\n'


def perSecond(work: Callable[[bytes], object], messages: list[bytes]) -> float:
    """The best of three rounds, in messages a CPU second."""
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for content in messages:
            work(content)
        best = max(best, len(messages) / (time.process_time() - start))
    return best


def wires(content: bytes) -> tuple[bytes, bytes]:
    """ENVELOPE and BODYSTRUCTURE alone."""
    root = scan(content)
    return envelope(root.fields), bodyStructure(root, content)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--corpus", default="")
    chosen = options.parse_args()
    message: Callable[[int], bytes] = made
    if chosen.corpus:
        sys.path.insert(0, chosen.corpus)
        message = importlib.import_module("mailbench.corpus").message
    messages = [message(number) for number in range(chosen.count)]
    print(f"{len(messages)} messages, {sum(map(len, messages)) / len(messages) / 1024:.1f} KiB on average")
    for name, work in (("scan", scan), ("ENVELOPE + BODYSTRUCTURE", wires), ("summarise", summarise)):
        print(f"{name:26} {perSecond(work, messages):10,.0f} messages a CPU second")


if __name__ == "__main__":
    main()
