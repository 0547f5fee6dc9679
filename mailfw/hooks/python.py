"""Hooks that are functions: `python:MODULE:FUNCTION`, or `python:FILE.py:FUNCTION` with a file below the data directory.

A class is made into an object once, with what plugins are given when they are opened; the object is the hook. A file that has
changed is read anew at a reload.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
from collections.abc import Collection
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from attrs import frozen
from zope.interface import implementer

from mailfw.hooks.runner import Hook
from mailfw.interfaces import IHookContext, IHookMark, IHookPlugin
from mailfw.stages import Stage


@implementer(IHookPlugin, IHookMark)
@frozen
class PythonPlugin:
    """Finds functions by name."""

    prefix: str = "python"
    stages: Collection[Stage] = ()

    def openHook(self, argument: str, context: IHookContext) -> Hook:
        """:raises ValueError: there is no such function, or what it is in cannot be imported."""
        place, colon, name = argument.rpartition(":")
        if not colon or not place or not name:
            raise ValueError("write python:MODULE:FUNCTION or python:FILE.py:FUNCTION")
        try:
            module = _fromFile(os.path.join(context.data, place)) if place.endswith(".py") else importlib.import_module(place)
        except Exception as error:
            raise ValueError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
        found: Any = getattr(module, name, None)
        if not callable(found):
            raise ValueError(f"{place} has no function {name}")
        return _made(found, context) if inspect.isclass(found) else _hook(found)


    def mark(self, argument: str, data: str) -> str:
        """When the file was last written; a module that was imported stays what it is."""
        place = argument.rpartition(":")[0]
        return str(os.stat(os.path.join(data, place)).st_mtime_ns) if place.endswith(".py") else ""


def _made(kind: Any, context: IHookContext) -> Hook:
    return _hook(kind(context))


def _hook(found: Any) -> Hook:
    """:raises ValueError: it cannot be called."""
    if not callable(found):
        raise ValueError(f"{found!r} cannot be called")
    hook: Hook = found
    return hook


def _fromFile(path: str) -> ModuleType:
    """The module that a file is, under a name that no other file has. Nothing compiled is kept or used, for it could be of
    another second's source."""
    loader = _Uncached(f"mailfw_hook_{hashlib.sha256(path.encode()).hexdigest()[:16]}", path)
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    if spec is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class _Uncached(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


python = PythonPlugin()
