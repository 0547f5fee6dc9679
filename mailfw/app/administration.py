"""What an administrator can do to a system, by name: the same operations for a running server and for the command alone.

Arguments and results are what JSON can say, because they may cross the control socket. What cannot be done is a `Problem`, or a
`Refusal` of the room concerned, and then nothing was changed.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from attrs import asdict
from twisted.logger import Logger

from mailfw import __version__
from mailfw.app.problem import Problem
from mailfw.app.tasks import Tasks
from mailfw.errors import NoPermission
from mailfw.net.sessions import SessionInfo
from mailfw.values import Address, Identity, SetQuota, accountName

if TYPE_CHECKING:
    from mailfw.app.context import System
    from mailfw.app.server import Server
    from mailfw.code.routing import Table

Operation = Callable[..., Coroutine[Any, Any, Any]]

ORDERS: dict[str, Callable[[SessionInfo], Any]] = {
    "account": lambda each: (each.account, each.since),
    "age": lambda each: each.since,
    "peer": lambda each: (each.peer, each.since),
    "service": lambda each: (each.service, each.since),
    "traffic": lambda each: -each.octetsIn - each.octetsOut,
}
"""How sessions can be sorted."""

_operations: dict[str, Operation] = {}
_log = Logger("mailfw.app")


def _operation(name: str) -> Callable[[Operation], Operation]:
    def register(method: Operation) -> Operation:
        _operations[name] = method
        return method

    return register


class Administration:
    """Operations on one system.

    :param server: None when no server runs, and the command itself holds the data directory.
    """

    def __init__(self, system: System, server: Server | None = None) -> None:
        self._system = system
        self._server = server
        self._tasks = Tasks(system)

    async def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Do it. :raises Problem: :raises Refusal: it cannot be done."""
        if operation.startswith("queue "):
            from mailfw.app.desk import Desk

            return await Desk(self._system, self._server is not None).perform(operation, arguments)
        if operation.startswith("task "):
            return await self._tasks.perform(operation, arguments)
        method = _operations.get(operation)
        if method is None:
            raise Problem(f'this server knows no operation "{operation}": are server and command of the same version?')
        return await method(self, **arguments)

    # --- Accounts --------------------------------------------------------------------------------------------------

    @_operation("user add")
    async def addUser(self, address: str, password: str, isAdmin: bool = False, quota: int | None = None) -> str:
        """Make an account; its canonical name."""
        account = await self._system.accounts.addUser(address, password, isAdmin=isAdmin, quota=quota)
        return account.name

    @_operation("user passwd")
    async def setPassword(self, address: str, password: str) -> None:
        """Replace an account's password."""
        await self._system.accounts.setPassword(address, password)

    @_operation("user suspend")
    async def suspend(self, address: str) -> None:
        """Let nobody log in to it, and end its sessions."""
        await self._system.accounts.suspend(address)
        self._endSessions(address)

    @_operation("user resume")
    async def resume(self, address: str) -> None:
        """End that."""
        await self._system.accounts.resume(address)

    @_operation("user quota")
    async def setQuota(self, address: str, quota: int | None = None) -> None:
        """Let it hold so many octets of mail, whatever was set by way of IMAP before; None: any number."""
        await self._system.accounts.setQuota(address, quota)
        name = self._canonical(address)
        try:
            account = await self._system.store.openAccount(Identity("", isAdmin=True), name)
        except NoPermission:
            return  # it has not been opened yet, so nothing was set
        await account.apply([SetQuota(None)])

    @_operation("user list")
    async def listUsers(self) -> list[dict[str, Any]]:
        """All accounts, by name."""
        return [asdict(account) for account in await self._system.accounts.listUsers()]

    @_operation("user remove")
    async def removeUser(self, address: str, isPurge: bool = False) -> int:
        """Remove an account, with its mail when asked to; how many mailboxes were removed."""
        name = self._canonical(address)
        await self._system.accounts.removeUser(address)
        self._endSessions(address)
        if not isPurge:
            return 0
        return await self._system.store.removeAccount(name)

    @_operation("user import")
    async def importUsers(self, entries: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Take over accounts with stored passwords, all or none."""
        imported = await self._system.accounts.importUsers([(address, stored) for address, stored in entries])
        return asdict(imported)

    @_operation("app-password add")
    async def addAppPassword(self, address: str, name: str, service: str = "") -> str:
        """Make a password for one device; it is not shown again."""
        return await self._system.accounts.addAppPassword(address, name, service)

    @_operation("app-password list")
    async def listAppPasswords(self, address: str) -> list[dict[str, Any]]:
        """An account's, without the passwords."""
        return [asdict(each) for each in await self._system.accounts.listAppPasswords(address)]

    @_operation("app-password remove")
    async def removeAppPassword(self, address: str, name: str) -> None:
        """Make one useless."""
        await self._system.accounts.removeAppPassword(address, name)

    # --- Aliases ---------------------------------------------------------------------------------------------------

    @_operation("alias add")
    async def addAlias(self, alias: str, targets: list[str]) -> dict[str, Any]:
        """Let an address lead to others; the alias as it is now."""
        return asdict(await self._system.accounts.addAlias(alias, targets))

    @_operation("alias list")
    async def listAliases(self) -> list[dict[str, Any]]:
        """All, by name."""
        return [asdict(alias) for alias in await self._system.accounts.listAliases()]

    @_operation("alias remove")
    async def removeAlias(self, alias: str) -> None:
        """Let it lead nowhere."""
        await self._system.accounts.removeAlias(alias)

    # --- Mail ------------------------------------------------------------------------------------------------------

    @_operation("mailbox list")
    async def listMailboxes(self, address: str) -> list[dict[str, Any]]:
        """An account's mailboxes with their counters."""
        name = self._canonical(address)
        if not await self._system.hasAccount(name):
            raise Problem(f"there is no account {name}")
        account = await self._system.store.openAccount(Identity(name), name)
        found = []
        for info in await account.mailboxes():
            row: dict[str, Any] = {"name": info.name, "isSelectable": info.isSelectable, "isSubscribed": info.isSubscribed}
            if info.isSelectable:
                status = await (await account.open(info.name)).status()
                row |= {"messages": status.messages, "unseen": status.unseen, "size": status.size}
                row |= {"uidNext": status.uidNext, "uidValidity": status.uidValidity}
            found.append(row)
        return found

    # --- Mail to code ------------------------------------------------------------------------------------------------

    @_operation("code list")
    async def listFunctions(self) -> dict[str, Any]:
        """All functions with their patterns, and what is wrong with their modules."""
        from mailfw.app.coding import said
        from mailfw.app.quantities import seconds

        table = self._functions()
        return {
            "routes": [
                {
                    "pattern": str(route.pattern),
                    "function": route.name,
                    "kind": "async" if route.isAsync else "thread",
                    "timeout": seconds(route.timeout),
                    "concurrency": route.concurrency,
                }
                for route in sorted(table.routes, key=lambda each: each.pattern.order)
            ],
            "overlaps": [said(each) for each in table.overlaps],
            "failures": [{"line": str(each), "traceback": each.traceback} for each in self._system.coding.failures],
        }

    @_operation("code match")
    async def matchAddress(self, address: str) -> dict[str, Any] | None:
        """The function that an address belongs to, and what it is called with; None: it belongs to none."""
        try:
            match = self._functions().find(Address.parse(address))
        except ValueError as error:
            raise Problem(str(error)) from None
        return None if match is None else {"function": match.route.name, "values": dict(match.values), "tag": match.tag}

    def _functions(self) -> Table:
        """Those of the server, or that it would have."""
        coding = self._system.coding
        return coding.current if self._server is not None else coding.table(self._system.configuration)[0]

    # --- The server ------------------------------------------------------------------------------------------------

    @_operation("status")
    async def status(self) -> dict[str, Any]:
        """How the server is."""
        server = self._server
        if server is None:
            raise Problem("no server runs with this data directory")
        return {
            "version": __version__,
            "pid": os.getpid(),
            "since": server.since,
            "uptime": time.time() - server.since,
            "configuration": server.source.file,
            "hostname": server.configuration.hostname,
            "domains": server.configuration.domains,
            "data": server.data.path,
            "store": server.configuration.store,
            "listeners": [{"service": each.service, "address": each.address} for each in server.listeners if each.address],
            "workers": self._system.outgoing.crew.names(),
            **await self._health(server),
            "figures": await server.figures.gather(),
            "sessions": [asdict(each) for each in self._system.context.sessions.infos()],
        }

    @_operation("console")
    async def console(self, key: str, who: str) -> dict[str, Any]:
        """Let the holder of a key into the manhole, once; where the socket for that is, and its own key.

        :param key: the public key, in base64, as SSH sends it. :param who: what he is called in the log.
        """
        server = self._server
        if server is None:
            raise Problem("no server runs with this data directory: the console is a prompt inside a running one")
        from mailfw.app.shell.entrance import hostKey

        server.door.invitations.add(base64.b64decode(key), who)
        _log.info("{who} opens the console", who=who)
        public = hostKey(server.data.file("manhole_host_key")).public().blob()
        return {"socket": server.door.open(), "hostKey": base64.b64encode(public).decode("ascii")}

    @_operation("top")
    async def top(self, sort: str = "age", limit: int = 100) -> dict[str, Any]:
        """What changes about it, and so many of its sessions. :param sort: one of `ORDERS`."""
        server = self._server
        if server is None:
            raise Problem("no server runs with this data directory")
        sessions = self._system.context.sessions.infos()
        sessions.sort(key=ORDERS[sort])
        return {
            "version": __version__,
            "uptime": time.time() - server.since,
            **await self._health(server),
            "figures": await server.figures.gather(),
            "sessions": [asdict(each) for each in sessions[:limit]],
        }

    @staticmethod
    async def _health(server: Server) -> dict[str, Any]:
        reasons = await server.readiness.reasons()
        return {"isReady": not reasons, "reasons": reasons}

    def _canonical(self, address: str) -> str:
        try:
            return accountName(address, self._system.configuration.domains[0])
        except ValueError as error:
            raise Problem(str(error)) from None

    def _endSessions(self, address: str) -> None:
        if self._server is not None:
            name = self._canonical(address)
            for connection in self._system.context.sessions:
                if connection.account == name:
                    connection.stop()

