"""Wires rooms to one another: what the configuration names, opened and handed to what needs it.

A `System` without listeners is what the administrator's command works on; `context` is what a server's listeners get, and is
only made, with the store, when it is first asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.app import development
from mailfw.app.catalogue import plugins
from mailfw.app.configuration import optionsModel
from mailfw.app.datadir import DataDirectory
from mailfw.app.descriptors import withinDescriptors
from mailfw.app.problem import Problem
from mailfw.app.sections import Configuration
from mailfw.auth.accounts import Accounts
from mailfw.auth.chain import chain
from mailfw.auth.guard import LoginGuard
from mailfw.delivery.directory import Directory
from mailfw.errors import Refusal
from mailfw.interfaces import (
    IAuthContext,
    IAuthenticator,
    IMailStore,
    IOptionsContext,
    ISimpleStore,
    ISimpleStorePlugin,
    IStoreContext,
    IVerifierSource,
)
from mailfw.net.context import ServiceContext
from mailfw.net.peer import Networks
from mailfw.net.sessions import SessionRegistry
from mailfw.net.spool import SpoolDirectory
from mailfw.net.watchdog import Watchdog
from mailfw.plugins import BrokenPlugin, Kind, PluginError, check
from mailfw.sasl.exchange import Logins, Masters
from mailfw.sql.schema import SchemaMismatch
from mailfw.tally import Tally
from mailfw.values import Create, SpecialUse, accountName

if TYPE_CHECKING:
    from mailfw.app.coding import Coding
    from mailfw.app.hooking import Hooking
    from mailfw.app.outgoing import Outgoing
    from mailfw.code.routing import Table
    from mailfw.delivery.dns import Resolver
    from mailfw.delivery.queue import Queue

_log = Logger("mailfw.app")


@implementer(IStoreContext, IAuthContext, IOptionsContext)
@define(eq=False)
class PluginContext:
    """What stores and sources of accounts are given when they are opened.

    :ivar options: what `[plugin.PREFIX]` says, as the plugin's own model; None where it has none.
    """

    reactor: Any
    data: str
    domains: Sequence[str]
    rehash: bool
    now: Any
    quotaOf: Any
    mailboxes: Sequence[Create] = ()
    expiry: Mapping[SpecialUse, float] = field(factory=dict)
    options: Any = None
    isInline: bool = False


@implementer(ISimpleStorePlugin)
@frozen
class _CheckedPlugin:
    """A plugin for simple stores, whose stores are checked before the engine is put beside them."""

    plugin: Any

    @property
    def prefix(self) -> str:
        """The plugin's own."""
        return str(self.plugin.prefix)

    def openSimpleStore(self, argument: str, context: IStoreContext) -> ISimpleStore:
        """:raises BrokenPlugin: what the plugin opens breaks its contract."""
        store = self.plugin.openSimpleStore(argument, context)
        check(ISimpleStore, store)
        return ISimpleStore(store)


class System:
    """Accounts, and when they are asked for the store and all that listeners need.

    :ivar reactor: Twisted's.
    :param isLoopback: nobody outside this machine can reach any listener.
    :ivar isServing: a server is at work in it, and not only the administrator's command.
    :ivar tally: what is counted. :ivar watchdog: of the reactor, started by whoever runs a server.
    :raises Problem: something that the configuration names cannot be opened.
    """

    def __init__(self, configuration: Configuration, data: DataDirectory, reactor: Any, isLoopback: bool = True) -> None:
        self.configuration = configuration
        self.isLoopback = isLoopback
        self.isServing = False
        self.data = data
        self.reactor = reactor
        self.tally = Tally()
        self.watchdog = Watchdog(configuration.netLimits().stallTime, self.tally, plugins().nameOf)
        self._sourceNames = list(configuration.auth.sources)
        self._sources = [self._openSource(each) for each in configuration.auth.sources]
        self._chain = chain(self._sources, reactor)
        self._closing: list[Callable[[], Any]] = []

    # --- Accounts --------------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> Accounts:
        """Our own accounts, which can be administered. :raises Problem: `accounts:` is not among the sources."""
        for source in self._sources:
            if isinstance(source, Accounts):
                return source
        raise Problem('accounts are kept elsewhere: "accounts:" is not among the sources of [auth]')

    @property
    def sources(self) -> list[tuple[str, IAuthenticator]]:
        """Sources of accounts, as the configuration named them at the start, in its order."""
        return list(zip(self._sourceNames, self._sources, strict=True))

    async def hasAccount(self, name: str) -> bool:
        """Whether any source lists that canonical name."""
        return await self._chain.hasAccount(name)

    def _openSource(self, specification: str) -> IAuthenticator:
        plugin, argument = self._plugin(Kind.AUTHENTICATOR, specification)
        context = self._pluginContext(specification, plugin)
        source = self._opened(specification, lambda: plugin.openAuthenticator(argument, context))
        self._checked(specification, IAuthenticator, source)
        return IAuthenticator(source)

    # --- The store -------------------------------------------------------------------------------------------------

    @cached_property
    def store(self) -> IMailStore:
        """The store that the configuration names, opened."""
        specification = self.configuration.store
        plugin, _ = self._plugin(Kind.STORE, specification)
        store = self._openStore(specification, self._pluginContext(specification, plugin))
        self._closing.append(store.close)
        return store

    def openAnother(self, specification: str) -> IMailStore:
        """A store that the configuration does not name, as it is: no account begins with more than INBOX, and nothing expires.
        Whoever opens it closes it. :raises Problem:"""
        plugin, _ = self._plugin(Kind.STORE, specification)
        return self._openStore(specification, evolve(self._pluginContext(specification, plugin), mailboxes=(), expiry={}))

    def _openStore(self, specification: str, context: PluginContext) -> IMailStore:
        from mailfw.storage.opening import openStore  # whoever only administers accounts needs no engine

        plugin, argument = self._plugin(Kind.STORE, specification)
        if ISimpleStorePlugin.providedBy(plugin):
            plugin = _CheckedPlugin(plugin)
        store = self._opened(specification, lambda: openStore(plugin, argument, context))
        self._checked(specification, IMailStore, store)
        return IMailStore(store)

    def _plugin(self, kind: Kind, specification: str) -> tuple[Any, str]:
        try:
            return plugins().open(kind, specification)
        except PluginError as error:
            raise Problem(str(error)) from None

    def _pluginContext(self, specification: str, plugin: object) -> PluginContext:
        options = self.configuration.plugin.get(specification.partition(":")[0], {})
        model = optionsModel(plugin)
        return PluginContext(
            reactor=self.reactor,
            data=self.configuration.data,
            domains=self.configuration.domains,
            rehash=self.configuration.auth.rehash,
            now=time.time,
            quotaOf=lambda account: self._chain.quotaOf(account),
            mailboxes=self.configuration.firstMailboxes(),
            expiry=self.configuration.expire.periods(),
            options=model.model_validate(options) if model else None,
        )

    @staticmethod
    def _opened(specification: str, opens: Callable[[], Any]) -> Any:
        try:
            return opens()
        except (Refusal, SchemaMismatch, ValueError, OSError, PluginError) as error:
            reason = error.__cause__ if isinstance(error, Refusal) and error.__cause__ is not None else error
            raise Problem(f"{specification} cannot be opened: {reason}") from error
        except Exception as error:
            _log.failure("{specification} cannot be opened", specification=specification)
            raise Problem(f"{specification} cannot be opened: {type(error).__name__}: {error}") from error

    @staticmethod
    def _checked(specification: str, interface: Any, thing: object) -> None:
        try:
            check(interface, thing)
        except BrokenPlugin as error:
            raise Problem(f"what {specification} opens is of no use: {error}") from None

    # --- Mail that leaves ------------------------------------------------------------------------------------------

    @cached_property
    def queue(self) -> Queue:
        """The queue, opened."""
        from mailfw.delivery.queue import Queue

        queue: Queue = self._opened("queue", lambda: Queue.open(self.data.file("queue.sqlite"), reactor=self.reactor))
        self._closing.append(queue.close)
        return queue

    @cached_property
    def resolver(self) -> Resolver:
        """The DNS."""
        from mailfw.delivery.dns import Resolver, asker

        resolver = Resolver(self.reactor, asker(self.configuration.dns.servers))
        self._closing.append(resolver.close)
        return resolver

    @cached_property
    def outgoing(self) -> Outgoing:
        """The router, and the relay, which nobody has started yet. Opens the store."""
        from mailfw.app.outgoing import Outgoing
        from mailfw.delivery.srs import SRS

        configuration, table = self.configuration, self.coding.tableAtStart(self.configuration)
        directory = self._directory(configuration, table)
        srs: SRS = self._opened("srs", lambda: SRS.open(self.data.file("srs"), configuration.domains[0]))
        own = self.coding.own(configuration, table, directory)
        outgoing = Outgoing(
            configuration, self.queue, srs, self.resolver, self.store, directory, self.reactor, own, self.tally
        )
        self._closing.append(outgoing.stop)
        return outgoing

    # --- Mail to code ------------------------------------------------------------------------------------------------

    @cached_property
    def coding(self) -> Coding:
        """What imports functions and runs them."""
        from mailfw.app.coding import Coding

        coding = Coding(self.reactor, self.watchdog)
        self._closing.append(coding.close)
        return coding

    # --- Who else has a say ----------------------------------------------------------------------------------------

    @cached_property
    def hooking(self) -> Hooking:
        """What opens hooks."""
        from mailfw.app.hooking import Hooking

        hooking = Hooking(self.reactor, self.data.file("spool"), lambda: self.resolver, self.watchdog, self.tally)
        self._closing.append(hooking.close)
        return hooking

    # --- What listeners need ---------------------------------------------------------------------------------------

    @cached_property
    def context(self) -> ServiceContext:
        """Everything a listening service is given. Opens the store."""
        configuration = self.configuration
        limits = withinDescriptors(configuration.netLimits())
        spool = SpoolDirectory(self.data.file("spool"), limits.spoolMemory)
        spool.prepare()
        hooks = self.hooking.hooks(configuration) if configuration.hook else None
        self.outgoing.router.hooks = self.outgoing.relay.hooks = hooks
        return ServiceContext(
            hooks=hooks,
            tally=self.tally,
            hostname=configuration.hostname,
            domains=tuple(configuration.domains),
            store=self.store,
            logins=self._logins(),
            directory=self.outgoing.router.directory,
            router=self.outgoing.router,
            spool=spool,
            reactor=self.reactor,
            sessions=SessionRegistry(self.reactor),
            limits=limits,
            plaintext=configuration.auth.plaintext,
            protocols={"imap": configuration.imap.settings()},
            inquiries=configuration.smtp.inquiries,
            xclient=Networks.parse(configuration.smtp.xclient),
        )

    def _directory(self, configuration: Configuration, table: Table) -> Directory:
        addresses = configuration.addresses
        return Directory(
            self._chain,
            self._chain,
            configuration.domains,
            addresses.postmaster,
            addresses.catchAll,
            addresses.tagDelimiter,
            lambda address: table.find(address) is not None,
        )

    def _logins(self) -> Logins:
        auth, domain = self.configuration.auth, self.configuration.domains[0]
        authenticator = self._chain if self.isLoopback else development.Undemonstrated(self._chain, domain)
        return Logins(
            authenticator,
            IVerifierSource(authenticator) if IVerifierSource.providedBy(self._chain) else None,
            kinds=self._chain.kinds,
            identities=self._chain,
            masters=Masters(frozenset(accountName(name, domain) for name in auth.masters), auth.masterSeparator),
            domain=domain,
            secret=self._secret(),
            guard=LoginGuard(self.reactor, domain, tally=self.tally),
        )

    def _secret(self) -> bytes:
        """What made-up SCRAM salts are derived from: 32 random octets, made once."""
        path = self.data.file("secret")
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            secret = os.urandom(32)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secret)
            return secret

    async def demonstrate(self) -> bool:
        """Make the accounts for trying out where there is no account at all; whether they can be used."""
        try:
            accounts = self.accounts
        except Problem:
            return False
        known = {account.name for account in await accounts.listUsers()}
        wanted = {f"{local}@{self.configuration.domains[0]}" for local in development.ACCOUNTS}
        if not known:
            for name in sorted(wanted, reverse=True):
                await accounts.addUser(name, development.PASSWORD)
            known = wanted
        return wanted <= known

    def reload(self, configuration: Configuration) -> list[str]:
        """Use what can be changed while sessions go on. Stores and sources stay as they were opened.

        :returns: what could not be, in words.
        :raises Problem: a route or a hook cannot be opened, or functions make no sense together, and nothing was changed.
        """
        table, failed = self.coding.table(configuration)
        directory = self._directory(configuration, table)
        hooks = self.hooking.hooks(configuration) if configuration.hook else None
        self.outgoing.reload(configuration, directory, self.coding.own(configuration, table, directory))
        self.coding.use(table)
        self.configuration = configuration
        context = self.context
        context.hostname = configuration.hostname
        context.limits = withinDescriptors(configuration.netLimits())
        context.spool.memory = context.limits.spoolMemory
        context.plaintext = configuration.auth.plaintext
        context.protocols = {"imap": configuration.imap.settings()}
        context.inquiries = configuration.smtp.inquiries
        context.xclient = Networks.parse(configuration.smtp.xclient)
        context.domains = tuple(configuration.domains)
        context.directory, context.router = directory, self.outgoing.router
        context.hooks = self.outgoing.router.hooks = self.outgoing.relay.hooks = hooks
        return failed

    async def close(self) -> None:
        """Let go of all that was opened, the last first, and of the accounts."""
        for close in reversed(self._closing):
            await close()
        await self._chain.close()
        self.watchdog.close()
