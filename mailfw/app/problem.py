"""What keeps an administrator's wish from being done, in one clear line."""

from __future__ import annotations


class Problem(Exception):
    """Says what is wrong and what to do about it; shown without a traceback, and the exit status is 1."""
