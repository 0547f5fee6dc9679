"""The contract of a plugin that is not ours, as a test class made for it: what `mailfw plugin check` runs.

A plugin that brings a contract of its own (`AuthenticatorContract` needs accounts that the source knows) is checked with that;
for all others the contract of their kind is opened with the argument that the configuration would give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from mailfw.interfaces import (
    IAuthenticator,
    IMailStore,
    IMailStorePlugin,
    IOptions,
    ISimpleStore,
    IStoreContext,
)
from mailfw.plugins import Kind
from mailfw.testing.authenticator import AuthContext, AuthenticatorContract
from mailfw.testing.hook import HookContract
from mailfw.testing.promises.broken import CannotBeOpened
from mailfw.testing.route import RouteContract
from mailfw.testing.service import ServiceContract
from mailfw.testing.simplestore import SimpleStoreContract
from mailfw.testing.store import MailStoreContract

T = TypeVar("T")

NEEDS_ACCOUNTS = "test_rightPassword", "test_spellings", "test_namesIts", "test_listsIts", "test_servesVerifiers"


def contractOf(
    kind: Kind,
    plugin: Any,
    argument: str,
    options: Mapping[str, Any],
    isTraced: bool = False,
    isPersistent: bool = True,
) -> type:
    """A test class for a plugin, to be named `Test…` in a module that pytest runs.

    :param argument: the text after the colon in configuration; relative paths start in an empty directory.
    :param options: what `[plugin.PREFIX]` says.
    :param isTraced: crashes can be played on the simple store (`SimpleStoreContract.isTraced`).
    :param isPersistent: what the full store keeps is there when it is opened again (`MailStoreContract.isPersistent`).
    """
    if kind is Kind.STORE:
        isFull = IMailStorePlugin.providedBy(plugin)
        return _full(plugin, argument, options, isPersistent) if isFull else _simple(plugin, argument, options, isTraced)
    if kind is Kind.AUTHENTICATOR:
        return _accounts(plugin, argument, options)
    given = {"plugin": plugin, "argument": argument, "options": options}
    return type("Contract", ({Kind.HOOK: _Hook, Kind.ROUTE: _Route, Kind.SERVICE: ServiceContract}[kind],), given)


def _judged(opening: Callable[[], T]) -> T:
    """What is opened; a plugin that makes no sense of its argument says so once, and no test is run."""
    try:
        return opening()
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, each['loc'])) or 'its options'}: {each['msg']}" for each in error.errors())
        raise CannotBeOpened("; ".join(wrong)) from None
    except ValueError as error:
        raise CannotBeOpened(str(error)) from None


def _having(options: Mapping[str, Any], plugin: Any, context: Any) -> Any:
    """A context of ours, with `options` as the plugin's model understands them, where it brings one."""
    if IOptions.providedBy(plugin):
        context.options = IOptions(plugin).model.model_validate(dict(options))
    return context


class _Hook(HookContract):
    def openHook(self) -> Any:
        return _judged(super().openHook)


class _Route(RouteContract):
    def openRoute(self) -> Any:
        return _judged(super().openRoute)


def _simple(plugin: Any, argument: str, options: Mapping[str, Any], traced: bool) -> type:
    class Simple(SimpleStoreContract):
        isTraced = traced

        def openStore(self) -> ISimpleStore:
            store: ISimpleStore = _judged(lambda: plugin.openSimpleStore(argument, _having(options, plugin, self.context)))
            return store

    return Simple


def _full(plugin: Any, argument: str, options: Mapping[str, Any], persistent: bool) -> type:
    class Full(MailStoreContract):
        isPersistent = persistent

        def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
            store: IMailStore = _judged(lambda: plugin.openStore(argument, _having(options, plugin, context)))
            return store

    return Full


def _accounts(plugin: Any, argument: str, options: Mapping[str, Any]) -> type:
    class Accounts(AuthenticatorContract):
        @pytest.fixture(autouse=True)
        def _place(self, request: pytest.FixtureRequest, tmp_path: Any) -> None:
            if request.node.name.startswith(NEEDS_ACCOUNTS):
                pytest.skip("needs accounts that the source knows: name the plugin's own test class with --contract")
            self.data = str(tmp_path)

        def openAuthenticator(self, accounts: Mapping[str, str]) -> IAuthenticator:
            context = AuthContext(data=self.data)
            source: IAuthenticator = _judged(lambda: plugin.openAuthenticator(argument, _having(options, plugin, context)))
            return source

    return Accounts
