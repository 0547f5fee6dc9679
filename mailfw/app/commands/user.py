"""`mailfw user`: accounts and their passwords."""

from __future__ import annotations

import sys
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, moment, printJSON, printTable
from mailfw.app.problem import Problem
from mailfw.app.quantities import octets, sizeText

_passwordStdin = click.option("--password-stdin", "isStdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def command() -> None:
    """Accounts and their passwords.

    ADDRESS is an account's address; a local part alone is of the first configured domain.

    \b
    Examples:
      mailfw user add mbrain@example.org
      echo "$PASSWORD" | mailfw user add jsmith@example.org --password-stdin --quota "5 GiB"
      mailfw user app-password add jsmith@example.org "telephone" --service imap
      mailfw user import accounts.txt
    """


def _password(isStdin: bool) -> str:
    """The password, from where it is safe: never from the command line, which every user of the machine can see."""
    if isStdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise Problem("there is no password on standard input")
        return password
    prompted: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    return prompted


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return octets(int(value) if value.isdigit() else value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@command.command()
@click.argument("address")
@_passwordStdin
@click.option("--admin", "isAdmin", is_flag=True, help="May use the manhole; the first one gets the mail for postmaster.")
@click.option("--quota", metavar="SIZE", callback=_size, help='How much mail it may hold, as in "5 GiB".')
@click.pass_context
def add(ctx: click.Context, address: str, isStdin: bool, isAdmin: bool, quota: int | None) -> None:
    """Make an account."""
    where = access(ctx)
    name = where.perform("user add", address=address, password=_password(isStdin), isAdmin=isAdmin, quota=quota)
    click.echo(f"added {name}")


@command.command()
@click.argument("address")
@_passwordStdin
@click.pass_context
def passwd(ctx: click.Context, address: str, isStdin: bool) -> None:
    """Give an account another password."""
    access(ctx).perform("user passwd", address=address, password=_password(isStdin))
    click.echo("password changed")


@command.command()
@click.argument("address")
@click.argument("size", callback=lambda ctx, param, value: None if value == "none" else _size(ctx, param, value))
@click.pass_context
def quota(ctx: click.Context, address: str, size: int | None) -> None:
    """Let an account hold mail up to SIZE, as in "5 GiB", or as much as it will: "none"."""
    access(ctx).perform("user quota", address=address, quota=size)
    click.echo("no limit" if size is None else f"may hold {sizeText(size)}")


@command.command()
@click.argument("address")
@click.pass_context
def suspend(ctx: click.Context, address: str) -> None:
    """Let nobody log in to an account, and end its sessions. Its mail still arrives."""
    access(ctx).perform("user suspend", address=address)
    click.echo("suspended")


@command.command()
@click.argument("address")
@click.pass_context
def resume(ctx: click.Context, address: str) -> None:
    """End a suspension."""
    access(ctx).perform("user resume", address=address)
    click.echo("resumed")


@command.command("list")
@asJSON
@click.pass_context
def list_(ctx: click.Context, asJSON: bool) -> None:
    """List all accounts."""
    users = access(ctx).perform("user list")
    if asJSON:
        printJSON(users)
        return
    printTable(
        ("ADDRESS", "STATE", "QUOTA#", "SINCE"),
        ((user["name"], _state(user), _quota(user["quota"]), moment(user["created"])) for user in users),
        "there are no accounts yet: mailfw user add ADDRESS",
    )


def _state(user: dict[str, Any]) -> str:
    return ", ".join(word for word, key in (("admin", "isAdmin"), ("suspended", "isSuspended")) if user[key])


def _quota(quota: int | None) -> str:
    return "" if quota is None else sizeText(quota)


@command.command()
@click.argument("address")
@click.option("--purge", "isPurge", is_flag=True, help="Remove its mail too, for good.")
@click.pass_context
def remove(ctx: click.Context, address: str, isPurge: bool) -> None:
    """Remove an account. Its mail stays where it is, unless --purge is given."""
    count = access(ctx).perform("user remove", address=address, isPurge=isPurge)
    click.echo(f"removed, with {count} mailboxes" if isPurge else "removed; its mail is still there")


@command.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.pass_context
def import_(ctx: click.Context, file: Any) -> None:
    """Take over accounts with their passwords as they are stored elsewhere; all lines or none.

    Each line of FILE (- for standard input) is ADDRESS:{SCHEME}VALUE, in any scheme that Dovecot or htpasswd users have, {PLAIN}
    too. An account that exists gets the password. Empty lines and lines that begin with # are passed over.
    """
    where = access(ctx)
    entries, mistakes = _entries(file)
    if mistakes:
        raise Problem(f"nothing was imported: {'; '.join(mistakes[:10])}")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        progress.add_task(f"importing {len(entries)} accounts", total=None)
        imported = where.perform("user import", entries=entries)
    click.echo(f"{imported['added']} added, {imported['replaced']} given another password")


def _entries(lines: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Addresses with stored passwords, and what is wrong with other lines."""
    entries, mistakes = [], []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        address, colon, stored = text.partition(":")
        if colon and stored:
            entries.append((address, stored))
        else:
            mistakes.append(f"line {number} is not ADDRESS:{{SCHEME}}VALUE")
    return entries, mistakes


@command.group("app-password")
def appPassword() -> None:
    """Passwords for single devices and programs, each of which can be taken back alone."""


@appPassword.command("add")
@click.argument("address")
@click.argument("name")
@click.option("--service", default="", help="What alone it is good for: imap, pop3, submission.")
@click.pass_context
def addAppPassword(ctx: click.Context, address: str, name: str, service: str) -> None:
    """Make a password and print it. It is not shown again."""
    click.echo(access(ctx).perform("app-password add", address=address, name=name, service=service))


@appPassword.command("list")
@click.argument("address")
@asJSON
@click.pass_context
def listAppPasswords(ctx: click.Context, address: str, asJSON: bool) -> None:
    """List an account's app passwords by name."""
    found = access(ctx).perform("app-password list", address=address)
    if asJSON:
        printJSON(found)
        return
    rows = ((each["name"], each["service"] or "all", moment(each["created"]), moment(each["lastUsed"])) for each in found)
    printTable(("NAME", "SERVICE", "SINCE", "LAST USED"), rows, "there are no app passwords")


@appPassword.command("remove")
@click.argument("address")
@click.argument("name")
@click.pass_context
def removeAppPassword(ctx: click.Context, address: str, name: str) -> None:
    """Make an app password useless."""
    access(ctx).perform("app-password remove", address=address, name=name)
    click.echo("removed")
