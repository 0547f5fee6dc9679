"""Events as lines: text for people, JSON for machines; one line an event, the session's id on every line.

Everything comes through twisted.logger. Invariants: an event is one line, whatever a client put into it (control characters
are escaped), but for a traceback, each line of which begins like the event's own; a line names its session where it has one;
`[log] level` and above only. Nothing here knows secrets: those who log never put one into an event.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

Render = Callable[[LogEvent], str]

_LEVELS = {level.name: rank for rank, level in enumerate(LogLevel.iterconstants())}
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)} | {0x0A: "\\n", 0x0D: "\\r"}
QUIET = "mailfw.quiet"
"""A key that marks an event of Twisted's own which says what one of ours says better."""


class Output(Protocol):
    """Where lines go."""

    def write(self, lines: str, /) -> object:
        """Take one or more whole lines."""


class LogFile:
    """A file that is appended to, and opened anew when `reopen` is called: logrotate's `postrotate` sends SIGHUP."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = self._open()

    def write(self, lines: str) -> None:
        """Append, and hand to the system at once."""
        self._file.write(lines)

    def reopen(self) -> None:
        """Go on in the file that now has the name; stay with the old one when that cannot be opened."""
        fresh = self._open()
        self._file.close()
        self._file = fresh

    def _open(self) -> TextIO:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(handle, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


class StandardOutput:
    """The process's own stdout, which twistd hides behind the log while it runs."""

    def write(self, lines: str) -> None:
        """Print."""
        stream = sys.__stdout__
        if stream is not None:
            stream.write(lines)
            stream.flush()


@implementer(ILogObserver)
class LineObserver:
    """Writes events as lines."""

    def __init__(self, output: Output, render: Render, level: str = "info") -> None:
        self.output = output
        self._render = render
        self._least = _LEVELS[level]

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level")
        if (level is None or _LEVELS[level.name] >= self._least) and not _isSaidBetter(event):
            self.output.write(self._render(event))

    def setLevel(self, level: str) -> None:
        """Write events of this level and above from now on."""
        self._least = _LEVELS[level]


_CONCH = ("twisted.conch.", "mailfw.app.shell.entrance._")
"""Namespaces of what conch says of each connection, channel and window; who comes in, and what is typed, we say ourselves."""

_PORT_CLOSED = re.compile(r"\((?:\S+ )?Port .* Closed\)")


def _isSaidBetter(event: LogEvent) -> bool:
    """Whether this is a line of Twisted's about a port, each of which our own lines name when the server starts and stops, or one
    about the manhole's connections."""
    namespace, level = str(event.get("log_namespace")), event.get("log_level")
    if namespace.startswith(_CONCH) and (level is None or level is LogLevel.info):
        return True
    return QUIET in event or (namespace == "log_legacy" and bool(_PORT_CLOSED.fullmatch(formatEvent(event))))


def renderer(form: str) -> Render:
    """How `[log] format` renders an event."""
    return renderJSON if form == "json" else renderText


def renderText(event: LogEvent) -> str:
    """`2026-01-31T12:00:00+0100 info [imap-1f] words`; a traceback follows line by line."""
    level = event.get("log_level")
    head = f"{_timestamp(event)} {level.name if level else 'info'} [{sessionOf(event) or _system(event)}] "
    lines = head + clean(formatEvent(event)) + "\n"
    for line in _traceback(event).splitlines():
        lines += f"{head}| {clean(line)}\n"
    return lines


def renderJSON(event: LogEvent) -> str:
    """One JSON object: time, level, session, system, text, traceback, and the event's own fields that JSON can say."""
    level = event.get("log_level")
    fields: dict[str, Any] = {
        "time": _timestamp(event),
        "level": level.name if level else "info",
        "session": sessionOf(event),
        "system": _system(event),
        "text": formatEvent(event),
    }
    traceback = _traceback(event)
    if traceback:
        fields["traceback"] = traceback
    for key, value in event.items():
        if not key.startswith("log_") and key not in fields and isinstance(value, str | int | float | bool):
            fields[key] = value
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES_JSON) + "\n"


_ESCAPES_JSON = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


def sessionOf(event: Mapping[str, Any]) -> str:
    """The id of the session that an event is about; empty when it is about none."""
    named = event.get("session") or getattr(event.get("log_source"), "id", "")
    return named if isinstance(named, str) else ""


def clean(text: str) -> str:
    """Text that stays on its line and changes nobody's terminal."""
    return text.translate(_ESCAPES)


def _system(event: LogEvent) -> str:
    legacy = event.get("system")
    named = legacy if isinstance(legacy, str) and legacy != "-" else event.get("log_namespace", "-")
    return clean(str(named))


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    if failure is None:
        return ""
    try:
        return str(failure.getTraceback())
    except Exception as error:
        return f"(no traceback: {type(error).__name__})"


_second = (0, "")


def _timestamp(event: LogEvent) -> str:
    """Local time with its offset, to the second: as fail2ban and people read it. Rendered once a second."""
    global _second
    now = int(event.get("log_time") or time.time())
    if now != _second[0]:
        _second = (now, time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now)))
    return _second[1]


def syslogOutput(prefix: str) -> Output:
    """The system's log, as `twistd --syslog` asks for it; it writes the time itself."""
    import syslog

    class Syslog:
        def write(self, lines: str) -> None:
            for line in lines.splitlines():
                _, level, rest = line.split(" ", 2)
                syslog.syslog(_PRIORITIES.get(level, syslog.LOG_INFO), rest)

    _PRIORITIES = {
        "debug": syslog.LOG_DEBUG,
        "warn": syslog.LOG_WARNING,
        "error": syslog.LOG_ERR,
        "critical": syslog.LOG_CRIT,
    }
    syslog.openlog(prefix, syslog.LOG_PID, syslog.LOG_MAIL)
    return Syslog()
