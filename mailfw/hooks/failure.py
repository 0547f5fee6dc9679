"""Why a hook has nothing to say."""

from __future__ import annotations


class Unanswered(Exception):
    """A program that a hook asks is not there, or says what cannot be understood: one line in the log, and no traceback."""
