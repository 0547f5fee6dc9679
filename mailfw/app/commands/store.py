"""`mailfw store`: all the mail at once."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import printJSON, printTable
from mailfw.app.problem import Problem
from mailfw.app.quantities import sizeText

SCHEMES = ("imap://", "imaps://")

asJSON = click.option("--json", "asJSON", is_flag=True, help="Print the summary as JSON.")


@click.group()
def command() -> None:
    """All the mail of a system.

    \b
    Example:
      mailfw store copy sqlite:mail maildir:/srv/mail
      mailfw store import jsmith ~/Maildir
    """


@command.command("copy")
@click.argument("origin", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--account", "accounts", metavar="ADDRESS[=ADDRESS]", multiple=True, help="Only this account; =ADDRESS: to that name."
)
@asJSON
@click.pass_context
def copy(ctx: click.Context, origin: str, target: str, accounts: tuple[str, ...], asJSON: bool) -> None:
    """Copy mail FROM a store TO another.

    Stores are named as in the configuration: sqlite:mail, maildir:/srv/mail, textfile:text; relative paths start in the data
    directory. Mailboxes, subscriptions, special uses, messages with their flags and dates come along, and so do UIDs and
    UIDVALIDITY where TO can keep them. What was interrupted is simply done again: nothing comes twice, and nothing is missing.
    What has come before stays as it is, and mail in FROM is not changed.

    When the server runs, it does the work. A store of another server's data directory cannot be used while that one runs.

    \b
    Examples:
      mailfw store copy maildir:/srv/mail sqlite:mail
      mailfw store copy sqlite:mail textfile:text --account jsmith@example.org
      mailfw store copy sqlite:/backup/mail sqlite:mail --account jsmith=old.jsmith --json
    """
    with _Bar("copying") as bar:
        arguments = {"origin": origin, "target": target, "accounts": list(accounts)}
        summary = access(ctx).follow("store copy", bar.tell, **arguments)
    if asJSON:
        printJSON(summary)
    else:
        _show(summary)


@command.command("import")
@click.argument("account")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("--mailbox", default="", help="Put all of it there, instead of where names of files and mailboxes say.")
@click.option(
    "--mbox-format",
    "variant",
    type=click.Choice(["mboxrd", "mboxo", "mboxcl", "mboxcl2"]),
    help="How mbox files are quoted, where their contents do not tell.",
)
@click.option("--folder", "folders", multiple=True, help="Of an IMAP account only this mailbox; as often as you like.")
@click.option("--password-stdin", "isStdin", is_flag=True, help="Read an IMAP account's password from standard input.")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False), help="Or from the first line of a file.")
@click.option(
    "--insecure", "isInsecure", is_flag=True, help="Believe any certificate; show the password in the clear if there is no TLS."
)
@asJSON
@click.pass_context
def importMail(
    ctx: click.Context,
    account: str,
    sources: tuple[str, ...],
    mailbox: str,
    variant: str | None,
    folders: tuple[str, ...],
    isStdin: bool,
    password_file: str | None,
    isInsecure: bool,
    asJSON: bool,
) -> None:
    """Bring mail from each SOURCE into an ACCOUNT.

    A SOURCE is an mbox file, a Maildir (with the folders of Maildir++), a message in a file, a directory with any of these below
    it; or another server's IMAP account, imaps://user@host/ or imap://user@host/ (with STARTTLS). Flags, keywords and dates come
    along. Give the same command again whenever you like: only what is new is brought.

    \b
    Examples:
      mailfw store import jsmith /var/mail/jsmith
      mailfw store import jsmith ~/Mail/archive.mbox --mailbox Archive
      mailfw store import jsmith ~/Maildir --json
      mailfw store import jsmith imaps://jsmith@imap.example.net/
      mailfw store import jsmith imaps://jsmith%40example.net@imap.example.net/ --folder '[Gmail]/All Mail' --mailbox Archive
    """
    remote = [source for source in sources if source.startswith(SCHEMES)]
    if remote and len(sources) > 1:
        raise Problem("an IMAP account comes alone: give one command for each")
    password = _password(remote[0], isStdin, password_file) if remote else ""
    paths = [os.path.abspath(source) for source in sources]
    with _Bar("importing") as bar:
        if remote:
            arguments = {"account": account, "url": remote[0], "password": password, "folders": list(folders), "mailbox": mailbox}
            summary = access(ctx).follow("store import remote", bar.tell, **arguments, isInsecure=isInsecure)
        else:
            arguments = {"account": account, "sources": paths, "mailbox": mailbox, "variant": variant or ""}
            summary = access(ctx).follow("store import", bar.tell, **arguments)
    if asJSON:
        printJSON(summary)
    else:
        _show(summary, "FROM", "there was nothing to import", dict(zip(paths, sources, strict=False)))


def _password(url: str, isStdin: bool, path: str | None) -> str:
    """The password, from where it is safe."""
    if isStdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif path:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            password = file.readline().rstrip("\r\n")
    else:
        password = click.prompt(f"Password for {url}", hide_input=True, err=True)
    if not password:
        raise Problem("there is no password")
    return password


@command.command("export")
@click.argument("account")
@click.argument("target")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["mbox", "maildir", "eml"]),
    default="mbox",
    show_default=True,
    help="mbox: an mboxrd file for each mailbox; maildir: Maildir++; eml: a file for each message.",
)
@click.option("--mailbox", "mailboxes", multiple=True, help="Only this mailbox; as often as you like.")
@asJSON
@click.pass_context
def exportMail(ctx: click.Context, account: str, target: str, kind: str, mailboxes: tuple[str, ...], asJSON: bool) -> None:
    """Write an ACCOUNT's mail into a new directory TARGET.

    It is made beside it and gets its name when it is whole. What `mailfw store import` reads from there are the same octets,
    flags and dates.

    \b
    Examples:
      mailfw store export jsmith ~/jsmith.mail
      mailfw store export jsmith ~/Maildir --format maildir
      mailfw store export jsmith ~/work --format eml --mailbox Work
    """
    with _Bar("exporting") as bar:
        arguments = {"account": account, "target": os.path.abspath(target), "kind": kind, "mailboxes": list(mailboxes)}
        summary = access(ctx).follow("store export", bar.tell, **arguments)
    if asJSON:
        printJSON(summary)
    else:
        _show(summary, "FROM", "there was nothing to export", {os.path.abspath(target): target})


@command.command("check")
@click.option("--json", "asJSON", is_flag=True, help="Print what is wrong as JSON.")
@click.pass_context
def check(ctx: click.Context, asJSON: bool) -> None:
    """Look whether the store is whole. Exit status 1 when something is wrong; nothing is changed.

    The database files, counters against messages, UIDs, MODSEQs, contents and their files. When the server runs, it looks itself,
    and mail comes and goes meanwhile.

    \b
    Example:
      mailfw store check --json
    """
    found = access(ctx).follow("store check", lambda progress: None)
    if asJSON:
        printJSON(found)
    else:
        rows = ((each["kind"], each["count"], each["place"], each["text"]) for each in found)
        printTable(("WHAT", "HOW MANY#", "WHERE", "SAYS"), rows, "the store is whole")
    if found:
        ctx.exit(1)


@command.command("repair")
@click.option("--yes", "isMeant", is_flag=True, help="Do it; without, only say what would be done.")
@click.option("--json", "asJSON", is_flag=True, help="Print what was done as JSON.")
@click.pass_context
def repair(ctx: click.Context, isMeant: bool, asJSON: bool) -> None:
    """Mend what `mailfw store check` finds. The server must be stopped.

    Counters are counted anew, UIDNEXT and MODSEQs raised, the search index is made anew. Messages in no mailbox come into
    Lost+Found. Messages whose contents are gone or not whole are removed, and named; restore them from a backup if you have one.
    Of a Maildir or text files the state is compared with them again.

    \b
    Examples:
      mailfw store repair
      mailfw store repair --yes
    """
    done = access(ctx).alone("store repair", isRehearsal=not isMeant)
    if asJSON:
        printJSON(done)
        return
    rows = ((each["kind"], each["count"], each["place"], each["text"]) for each in done)
    printTable(("WHAT", "HOW MANY#", "WHERE", "DONE" if isMeant else "WOULD BE DONE"), rows, "there is nothing to mend")
    if done and not isMeant:
        click.echo("Nothing was changed: give --yes to have it done.")


class _Bar:
    """How far it is: a bar on a terminal, a line for each account elsewhere."""

    def __init__(self, doing: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._doing = doing
        self._isTerminal = sys.stderr.isatty()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[octets]} {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not self._isTerminal)
        self._task = self._progress.add_task("opening", total=None, octets="", rate="")
        self._account = ""

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, progress: dict[str, Any]) -> None:
        """Show how far it is."""
        account = progress["account"]
        if not self._isTerminal and account and account != self._account:
            click.echo(f"{self._doing} {account}", err=True)
        self._account = account
        elapsed = self._progress.tasks[0].elapsed or 0.0
        rate = f"{progress['messages'] / elapsed:.0f}/s" if elapsed > 1 else ""
        self._progress.update(
            self._task,
            description=f"{account} {progress['mailbox']}",
            completed=progress["messages"],
            total=progress["total"] or None,
            octets=sizeText(progress["octets"]),
            rate=rate,
        )


def _show(
    summary: dict[str, Any],
    first: str = "ACCOUNT",
    nothing: str = "there was nothing to copy",
    given: dict[str, str] | None = None,
) -> None:
    """:param given: paths as somebody has given them."""
    rows = []
    for account in summary["accounts"]:
        boxes = account["mailboxes"]
        origin, target = ((given or {}).get(account[key], account[key]) for key in ("account", "target"))
        name = origin if origin == target else f"{origin} → {target}"
        copied, octets, already = (sum(box[key] for box in boxes) for key in ("copied", "octets", "already"))
        rows.append((name, len(boxes), copied, already, sizeText(octets)))
    printTable((first, "MAILBOXES#", "COPIED#", "THERE BEFORE#", "SIZE#"), rows, nothing)
    for account in summary["accounts"]:
        for loss in account["losses"]:
            click.echo(f"{account['target']} could not keep {loss}" if first == "ACCOUNT" else loss)
