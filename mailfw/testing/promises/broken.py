"""How a broken promise is told: one sentence that says which it is, before what the test saw.

The sentence is the first line of the test's docstring or, without one, the test's name in words: `testUIDsOnlyGrow` says
"UIDs only grow". What a plugin raises where nobody expects it breaks the promise too, and comes as its cause.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

_WORD = re.compile(r"A(?=UID)|UIDValidity|UIDs|ModSeq|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SPELT = {"UIDValidity": "UIDVALIDITY", "UIDs": "UIDs", "ModSeq": "MODSEQ", "A": "a"}
_MARK = "_mailfwPromise"

Contract = TypeVar("Contract", bound=type)


class BrokenPromise(AssertionError):
    """A plugin does not do what its interface says. Its text is the promise, then what was seen instead."""


class CannotBeOpened(Exception):
    """A plugin makes no sense of its argument or options: it breaks no promise, but none can be tried."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the plugin cannot be opened: {reason}")


def sentence(name: str, words: str | None = None) -> str:
    """The promise that a test checks. :param words: the test's docstring."""
    if words:
        return words.strip().partition("\n")[0].rstrip(".")
    found = _WORD.findall(name.removeprefix("test"))
    spoken = " ".join(_SPELT.get(word, word if word.isupper() else word.lower()) for word in found)
    return spoken[:1].upper() + spoken[1:]


def telling(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, which tells of a broken promise as such."""

    @functools.wraps(test)
    async def run(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        try:
            await test(*arguments, **named)
        except (pytest.exit.Exception, CannotBeOpened):
            raise
        except (Exception, pytest.fail.Exception) as error:
            raise _told(test, error) from error

    setattr(run, _MARK, True)
    return run


def tellsBrokenPromises(contract: Contract) -> Contract:
    """A class decorator: the plain tests of the contract tell of broken promises as such."""
    for name, test in list(vars(contract).items()):
        if name.startswith("test") and inspect.isfunction(test) and not getattr(test, _MARK, False):
            setattr(contract, name, _tellingPlain(test))
    return contract


def _tellingPlain(test: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        try:
            test(*arguments, **named)
        except (pytest.exit.Exception, CannotBeOpened):
            raise
        except (Exception, pytest.fail.Exception) as error:
            raise _told(test, error) from error

    setattr(run, _MARK, True)
    return run


def _told(test: Callable[..., object], error: BaseException) -> BrokenPromise:
    seen = str(error)
    if not isinstance(error, (AssertionError, pytest.fail.Exception)):
        seen = f"it raised {type(error).__name__}{f': {seen}' if seen else ''}"
    promise = sentence(test.__name__, test.__doc__)
    return BrokenPromise(f"{promise}. Instead: {seen}" if seen else promise)
