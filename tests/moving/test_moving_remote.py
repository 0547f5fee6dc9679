"""Mail comes from another server's IMAP account, which may lie."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from mailfw.errors import Refusal
from mailfw.imap.client import IMAPClient, Security, connect
from mailfw.moving import AccountSummary, Carrier, Journal, Progress, RemoteAccount
from mailfw.storage.memory import memory
from mailfw.testing.promises.home import OWNER, HomeContext, contents, flagsOf, message, promise
from mailfw.values import Create, Identity, SpecialUse

ADMIN = Identity(OWNER, isAdmin=True)


@define
class Box:
    """What a server has: `* n FETCH` items by UID; and what it claims beside."""

    mail: dict[int, bytes]
    validity: int = 77
    attributes: str = ""
    extra: list[bytes] = field(factory=list)  # said with every FETCH of contents


@define
class Script:
    """:ivar seen: commands, without their tags."""

    boxes: dict[str, Box]
    capabilities: str = "IMAP4rev1 LIST-EXTENDED SPECIAL-USE"
    delimiter: str = "/"
    seen: list[str] = field(factory=list)


class Server(LineReceiver):
    """As much of a server as an import talks to."""

    script: Script
    selected = ""

    def connectionMade(self) -> None:
        self.say(f"* OK [CAPABILITY {self.script.capabilities}] hello")

    def say(self, text: str) -> None:
        self.write(text.encode("latin-1"))

    def write(self, line: bytes) -> None:
        self.sendLine(line)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        tag, _, command = line.decode("latin-1").partition(" ")
        self.script.seen.append(command)
        word = command.upper().split()[0 if not command.upper().startswith("UID ") else 1]
        getattr(self, f"do{word.capitalize()}")(command)
        self.say(f"{tag} OK done")

    def doLogin(self, command: str) -> None:
        pass

    doLogout = doLogin

    def doCapability(self, command: str) -> None:
        self.say(f"* CAPABILITY {self.script.capabilities}")

    def doList(self, command: str) -> None:
        for name, box in self.script.boxes.items():
            self.say(f'* LIST ({box.attributes}) "{self.script.delimiter}" "{name}"')

    def doStatus(self, command: str) -> None:
        name = command.split()[1].strip('"')
        self.say(f'* STATUS "{name}" (MESSAGES {len(self.script.boxes[name].mail)})')

    def doExamine(self, command: str) -> None:
        self.selected = command.split(None, 1)[1].strip('"')
        box = self.script.boxes[self.selected]
        self.say(f"* {len(box.mail)} EXISTS")
        if box.validity:
            self.say(f"* OK [UIDVALIDITY {box.validity}] x")
        self.say("* OK [UIDNEXT 4294967290] a lie")

    def doFetch(self, command: str) -> None:
        box = self.script.boxes[self.selected]
        if "RFC822.SIZE" in command:
            for number, uid in enumerate(box.mail, 1):
                self.say(f"* {number} FETCH (UID {uid} RFC822.SIZE {len(box.mail[uid])})")
            return
        wanted = _numbers(command.split()[2])
        for number, uid in enumerate(box.mail, 1):
            if uid in wanted:
                body = "BODY[]" if "BODY" in command.upper() else ""
                if "<" in command:
                    body = "BODY[]<0>"
                self.write(_fetched(number, uid, box.mail[uid], body))
        if "INTERNALDATE" in command and "BODY" in command:
            for line in box.extra:
                self.write(line)


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition(":")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _fetched(number: int, uid: int, octets: bytes, body: str) -> bytes:
    head = b'* %d FETCH (UID %d FLAGS (\\Seen \\Recent \\Evil $Work) INTERNALDATE "01-Jan-2020 12:00:00 +0000"' % (number, uid)
    return head + (b" %s {%d}\r\n%s)" % (body.encode(), len(octets), octets) if body else b")")


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.close()


class World:
    """A server, and an account for its mail."""

    def __init__(self, directory: Path) -> None:
        from twisted.internet.task import Clock

        context = HomeContext(str(directory), Clock(), isInline=True)
        context.mailboxes = ()
        self.store = memory.openStore("", context)
        self.journal = Journal(str(directory / "moving.sqlite"), Clock(), isInline=True)
        self._closing: list[Any] = []

    async def client(self, script: Script) -> IMAPClient:
        factory: Any = Factory.forProtocol(type("Scripted", (Server,), {"script": script}))
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        client = await connect(reactor, "127.0.0.1", port.getHost().port, Security.NONE)
        self._closing.append((client, port))
        await client.logIn("jsmith", "x", mayUsePlaintext=True)
        return client

    async def bring(self, script: Script, *folders: str, mailbox: str = "") -> AccountSummary:
        client = await self.client(script)
        account = await self.store.openAccount(ADMIN, OWNER)
        origin = RemoteAccount(client, "far", await account.mailboxes(), folders, mailbox)
        summary = await Carrier(origin, account, "far", "here", self.journal, Progress()).carry()
        summary.losses += origin.losses
        return summary

    async def mail(self) -> dict[str, dict[int, bytes]]:
        account = await self.store.openAccount(ADMIN, OWNER)
        names = [info.name for info in await account.mailboxes() if info.isSelectable]
        return {name: await contents(await account.open(name)) for name in names}

    async def close(self) -> None:
        for client, port in self._closing:
            await client.connection.close(ConnectionError("over"))
            await port.stopListening()
        await self.store.close()
        await self.journal.close()


def numbered(*uids: int) -> dict[int, bytes]:
    return {uid: message(uid) for uid in uids}


@promise
async def testMailComesOnceWithItsNumbers(world: World) -> None:
    script = Script({"INBOX": Box(numbered(3, 7)), "Sent": Box(numbered(5), 78)})
    summary = await world.bring(script)
    assert (summary.copied, summary.losses) == (3, [])
    assert await world.mail() == {"INBOX": numbered(3, 7), "Sent": numbered(5)}
    account = await world.store.openAccount(ADMIN, OWNER)
    inbox = await account.open("INBOX")
    status = await inbox.status()
    assert (status.uidValidity, status.uidNext) == (77, 8)
    assert (await flagsOf(inbox))[3] == {"\\Seen", "$Work"}
    script.boxes["INBOX"].mail[9] = message(9)
    summary = await world.bring(script)
    assert [(one.copied, one.already) for one in summary.mailboxes] == [(1, 2), (0, 1)]
    assert not [command for command in script.seen if re.match("SELECT|STORE|UID STORE", command)]
    script.boxes["INBOX"].validity = 99  # it is another mailbox now, of which some mail is known
    summary = await world.bring(script)
    assert summary.mailboxes[0].copied == 0


@promise
async def testMailboxesThatAreOneHereBecomeOne(world: World) -> None:
    """Names that are told apart there: an accent is a character of its own, or is not."""
    boxes = {name: Box(numbered(at)) for at, name in enumerate(("e&AwE-", "&AOk-", "Z"), 1)}
    boxes["INBOX"] = Box({})
    summary = await world.bring(Script(boxes))
    assert (summary.copied, (await world.bring(Script(boxes))).copied) == (3, 0)
    found = {name: sorted(mail.values()) for name, mail in (await world.mail()).items()}
    assert found == {"INBOX": [], "\xe9": [message(1), message(2)], "Z": [message(3)]}


@promise
async def testSpecialUsesLeadAndViewsStay(world: World) -> None:
    account = await world.store.openAccount(ADMIN, OWNER)
    await account.apply([Create("Sent", frozenset({SpecialUse.SENT}))])
    boxes = {
        "INBOX": Box({}),
        "[Gmail].Gesendet": Box(numbered(1), attributes="\\Sent"),
        "[Gmail].Alle": Box(numbered(1, 2), attributes="\\All"),
        "Work.a/b": Box(numbered(4)),
    }
    summary = await world.bring(Script(boxes, delimiter="."))
    found = await world.mail()
    assert {name: sorted(mail.values()) for name, mail in found.items()} == {
        "INBOX": [],
        "Sent": [message(1)],
        "Work/a_b": [message(4)],
    }
    assert summary.losses[-1] == "[Gmail].Alle shows what other mailboxes hold: --folder '[Gmail].Alle' would bring it"
    summary = await world.bring(Script(boxes, delimiter="."), "[Gmail].Alle", "Work.a/b", mailbox="All")
    assert sorted((await world.mail())["All"].values()) == sorted(map(message, (1, 2, 4)))
    again = await world.bring(Script(boxes, delimiter="."), "[Gmail].Alle", "Work.a/b", mailbox="All")
    assert (summary.copied, again.copied) == (3, 0)
    with pytest.raises(Refusal, match="no mailbox 'Nix'"):
        await world.bring(Script(boxes), "Nix")


@promise
async def testWhatAServerMakesUpChangesNothing(world: World) -> None:
    extra = [
        _fetched(1, 1, b"Subject: twice\r\n\r\n", "BODY[]"),
        _fetched(9, 9, b"Subject: nobody asked\r\n\r\n", "BODY[]"),
        b'* 2 FETCH (UID 2 INTERNALDATE "01-Jan-2020 12:00:00 +0000")',
        b"* 3 FETCH (UID 0 BODY[] {3}\r\nabc)",
        b"* 4 FETCH (UID 1 BODY[] NIL)",
    ]
    boxes = {
        "INBOX": Box(numbered(1, 2), extra=extra),
        "../../etc/x": Box(numbered(3)),
        "none": Box(numbered(4), validity=0),
        "high": Box(numbered(5, 4294967294), 80),
    }
    summary = await world.bring(Script(boxes))
    found = await world.mail()
    assert found["INBOX"] == numbered(1, 2)
    assert sorted(found["high"].values()) == sorted(map(message, (5, 4294967294)))
    assert max(found["high"]) < 10
    assert not found.get("none")
    assert any("none" in loss for loss in summary.losses)
