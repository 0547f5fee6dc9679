"""Where the data directory is, found without reading the whole configuration: a command that only talks to the running server
has no time for that."""

from __future__ import annotations

import os
import tomllib

from attrs import frozen

from mailfw.app.problem import Problem

SYSTEM_CONFIGURATION = "/etc/mailfw/mailfw.toml"
SYSTEM_DATA = "/var/lib/mailfw"
DEVELOPMENT_DATA = "mailfw-data"


def dataDirectory(value: str, base: str) -> str:
    """The absolute path that `data` means: relative ones start where the file is, or where the command was given."""
    return os.path.normpath(os.path.join(base, value))


@frozen
class Place:
    """Which system the administrator's command is about.

    :ivar file: the configuration file; empty: development mode.
    :ivar data: the data directory, absolute.
    """

    file: str
    data: str

    @classmethod
    def find(cls, file: str | None, data: str | None) -> Place:
        """What `--config` or `--data` say; without them `./mailfw-data` where there is one, or else the system's own file.

        :raises Problem: the file cannot be read. :raises LookupError: nothing says which system is meant.
        """
        if file is None and data is None:
            if os.path.isdir(DEVELOPMENT_DATA):
                data = DEVELOPMENT_DATA
            elif os.path.exists(SYSTEM_CONFIGURATION):
                file = SYSTEM_CONFIGURATION
            else:
                raise LookupError("say which system is meant: --config FILE or --data DIR before the command")
        if file is None:
            return cls("", os.path.abspath(data or ""))
        file = os.path.abspath(file)
        if data is None:
            data = dataDirectory(_dataIn(file), os.path.dirname(file))
        return cls(file, os.path.abspath(data))


def _dataIn(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            value = tomllib.load(stream).get("data", SYSTEM_DATA)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Problem(f"{file} is not TOML: {error}") from None
    if not isinstance(value, str):
        raise Problem(f"{file}: data must be a string")
    return value
