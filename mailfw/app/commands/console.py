"""`mailfw console`: a prompt inside the running server."""

from __future__ import annotations

import base64
import getpass
import os
from typing import Any

import click

from mailfw.app.cli import access


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Open a Python prompt inside the running server. help() says there what it can do; Ctrl-D leaves.

    Whoever may use the control socket comes in without a password. Statements may also come from a pipe: then nothing is printed
    but what they print, and the exit status is 1 if one of them failed.

    \b
    Examples:
      mailfw console
      echo 'sessions()' | mailfw console
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from twisted.conch.ssh.keys import Key

    key, user = Key(Ed25519PrivateKey.generate()), _whoami()
    public = base64.b64encode(key.public().blob()).decode("ascii")
    found: dict[str, Any] = access(ctx).perform("console", key=public, who=user)

    from mailfw.app.console import Console, visit

    hostKey = base64.b64decode(found["hostKey"])
    ctx.exit(visit(lambda reactor: Console(reactor, found["socket"], hostKey, key, user)))


def _whoami() -> str:
    """Who this is, for the log; behind sudo, who that was before."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
