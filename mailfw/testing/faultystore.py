"""A mail store that fails when a test says so: for what services, routes and programs do when theirs does.

    store = FaultyStore(memoryStore)
    store.failNext("deliver", Unavailable())
    store.failNext("apply", Unavailable(), isDone=True)   # it happened, but nobody is told so

Whatever no failure is asked for goes to the real store behind it, which may be of any kind.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any

from attrs import define
from zope.interface import directlyProvides, implementer

from mailfw.interfaces import IAccount, IMailbox, IMailStore
from mailfw.values import Identity, MessageSource, Outcome, Target

_METHODS = frozenset(name for interface in (IMailStore, IAccount, IMailbox) for name in interface.names())


@define(eq=False)
class _Fault:
    error: Exception
    times: int
    isDone: bool


@implementer(IMailStore)
class FaultyStore:
    """:param store: the real one.
    :ivar calls: names of the methods that were called, of the store, its accounts and their mailboxes, in order.
    """

    def __init__(self, store: IMailStore) -> None:
        self._store = store
        self._faults: dict[str, list[_Fault]] = {}
        self.calls: list[str] = []

    def failNext(self, method: str, error: Exception, times: int = 1, isDone: bool = False) -> None:
        """Have a method raise the next times that it is called.

        :param method: of `IMailStore`, `IAccount` or `IMailbox`, one that can be waited for, or `rows`.
        :param isDone: what was asked for happens all the same.
        :raises ValueError: there is no such method.
        """
        if method not in _METHODS:
            raise ValueError(f'a store has no method "{method}"')
        self._faults.setdefault(method, []).append(_Fault(error, times, isDone))

    async def openAccount(self, identity: Identity, owner: str) -> Any:
        account = await self.called("openAccount", self._store, identity, owner)
        return _Watched(account, IAccount, self)

    async def deliver(self, message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        """It promises never to raise: one that does is what `failNext` makes of it."""
        outcomes: list[Outcome] = await self.called("deliver", self._store, message, targets)
        return outcomes

    async def sharedWith(self, identity: Identity) -> list[str]:
        owners: list[str] = await self.called("sharedWith", self._store, identity)
        return owners

    async def removeAccount(self, account: str) -> int:
        return int(await self.called("removeAccount", self._store, account))

    async def mustHaveRoom(self, account: str, octets: int) -> None:
        await self.called("mustHaveRoom", self._store, account, octets)

    async def close(self) -> None:
        """Close the real one."""
        await self.called("close", self._store)

    async def called(self, name: str, thing: Any, *arguments: Any, **named: Any) -> Any:
        """What a method of the real thing returns, or the failure that is asked for."""
        fault = self.fault(name)
        if fault is not None and not fault.isDone:
            raise fault.error
        result = await getattr(thing, name)(*arguments, **named)
        if fault is not None:
            raise fault.error
        return result

    def fault(self, name: str) -> _Fault | None:
        """Note a call. → what goes wrong with it."""
        self.calls.append(name)
        faults = self._faults.get(name)
        if not faults:
            return None
        fault = faults[0]
        fault.times -= 1
        if not fault.times:
            faults.pop(0)
        return fault


class _Watched:
    """An account or a mailbox of a faulty store."""

    def __init__(self, thing: Any, interface: Any, store: FaultyStore) -> None:
        self._thing = thing
        self._store = store
        directlyProvides(self, interface)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if name not in _METHODS:
            return found
        if name == "rows":
            return self._rows
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            result = await self._store.called(name, self._thing, *arguments, **named)
            return _Watched(result, IMailbox, self._store) if name == "open" else result

        return call

    async def _rows(self, *arguments: Any, **named: Any) -> AsyncIterator[list[Any]]:
        fault = self._store.fault("rows")
        if fault is not None and not fault.isDone:
            raise fault.error
        async for rows in self._thing.rows(*arguments, **named):
            yield rows
        if fault is not None:
            raise fault.error
