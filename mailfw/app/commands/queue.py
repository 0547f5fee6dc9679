"""`mailfw queue`: mail that waits to leave."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, moment, printable, printJSON, printTable
from mailfw.app.commands.live import interval, watch
from mailfw.app.quantities import seconds, sizeText, spanText

Command = Callable[..., Any]


@click.group()
def command() -> None:
    """Mail that waits to leave.

    A message is named by its ID, one number for all its recipients. Other words choose recipients: all that are given have to be
    true. REPLY is what the next hop said last.

    \b
    Examples:
      mailfw queue list --domain example.com --older-than 2h
      mailfw queue show 17
      mailfw queue retry --reason "greylisted"
      mailfw queue bounce 17 18 --text "the address was misspelt"
      mailfw queue flush example.com
      mailfw queue top
    """


def _span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


_FILTER = (
    click.option("--recipient", metavar="ADDRESS", help="Only this recipient."),
    click.option("--domain", metavar="NAME", help="Only recipients at this domain."),
    click.option("--sender", metavar="ADDRESS", help='Only from this sender; "<>" for reports.'),
    click.option("--reason", metavar="TEXT", help="Only what has this in its last reply."),
    click.option("--state", type=click.Choice(("waiting", "leased", "held")), help="Only what is in this state."),
    click.option("--older-than", "olderThan", metavar="TIME", callback=_span, help='As in "2h".'),
    click.option("--newer-than", "newerThan", metavar="TIME", callback=_span, help="Likewise."),
)


def _filtered(function: Command) -> Command:
    """The options that choose recipients."""
    for option in reversed(_FILTER):
        function = option(function)
    return function


def _given(words: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


@command.command("list")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
@_filtered
@click.option("--limit", default=100, show_default=True, help="At most so many recipients; 0: all.")
@asJSON
@click.pass_context
def list_(ctx: click.Context, /, ids: tuple[int, ...], limit: int, asJSON: bool, **words: Any) -> None:
    """List recipients, those that came first first."""
    if limit > 0 or ids:
        found = access(ctx).perform("queue list", ids=list(ids), limit=max(limit, 0), **_given(words))
    else:
        found = listAll(access(ctx).perform, _given(words))
    if asJSON:
        printJSON(found["recipients"])
        return
    now = time.time()
    rows = (
        (
            each["id"],
            each["sender"] or "<>",
            each["recipient"],
            sizeText(each["size"]),
            spanText(now - each["arrived"]),
            when(each, now),
            each["attempts"],
            _reply(each),
        )
        for each in found["recipients"]
    )
    printTable(("ID#", "SENDER", "RECIPIENT", "SIZE#", "AGE#", "NEXT", "TRIED#", "REPLY"), rows, "nothing waits")
    more = found["total"] - len(found["recipients"])
    if more > 0:
        click.echo(f"and {more} more: --limit 0 shows all")


def listAll(perform: Callable[..., Any], words: dict[str, Any]) -> dict[str, Any]:
    """All recipients, page by page: a million of them would hold up the server."""
    recipients: list[dict[str, Any]] = []
    after, isMore = 0, True
    while isMore:
        page = perform("queue page", after=after, **words)
        recipients += page["recipients"]
        after, isMore = page["next"], bool(page["next"])
    return {"recipients": recipients, "total": len(recipients)}


def when(entry: dict[str, Any], now: float) -> str:
    """When it is tried next, in words."""
    if entry["state"] == "held":
        return "held"
    if entry["state"] == "leased":
        return "under way"
    return f"in {spanText(entry['due'] - now)}" if entry["due"] > now else "now"


def describe(entry: dict[str, Any], now: float) -> str:
    """One recipient in one line."""
    sender, age = entry["sender"], spanText(now - entry["arrived"])
    return (
        f"{entry['id']} from <{sender}> to <{entry['recipient']}>, {age} old, next {when(entry, now)} {_reply(entry)}".rstrip()
    )


def _reply(entry: dict[str, Any]) -> str:
    said = entry["reply"] if len(entry["reply"]) <= 100 else entry["reply"][:99] + "…"
    return " ".join(filter(None, (entry["host"], entry["status"], said)))


@command.command()
@click.argument("id", type=int)
@click.option("--content", "isWhole", is_flag=True, help="Print the message itself, octet for octet, and nothing else.")
@asJSON
@click.pass_context
def show(ctx: click.Context, id: int, isWhole: bool, asJSON: bool) -> None:
    """Show one message: its envelope, each recipient that is left, what was said about it."""
    found = access(ctx).perform("queue show", id=id, isWhole=isWhole)
    if asJSON:
        printJSON(found)
    elif isWhole:
        click.echo(base64.b64decode(found["content"]), nl=False)
    else:
        _show(found, time.time())


def _show(found: dict[str, Any], now: float) -> None:
    lines = [
        ("message", str(found["id"])),
        ("from", found["sender"] or "<>"),
        ("sent by", found["account"]),
        ("arrived", f"{moment(found['arrived'])}, {spanText(now - found['arrived'])} ago"),
        ("size", sizeText(found["size"])),
        ("asked for", ", ".join(_asked(found))),
        *((name.capitalize(), value) for name, value in found["header"].items()),
    ]
    for name, value in lines:
        if value:
            click.echo(f"{name:>12}  {printable(value)}")
    for each in found["recipients"]:
        click.echo("")
        click.echo(f"{'to':>12}  {printable(each['recipient'])}{' in ' + each['mailbox'] if each['mailbox'] else ''}")
        click.echo(f"{'next':>12}  {when(each, now)}, by {each['lane']}")
        if each["attempts"]:
            click.echo(f"{'tried':>12}  {each['attempts']} times, last {moment(each['tried'])}")
        if each["reply"]:
            click.echo(f"{'reply':>12}  {printable(' '.join(filter(None, (each['host'], each['status'], each['reply']))))}")


def _asked(found: dict[str, Any]) -> list[str]:
    """What the sender asked for with the message."""
    asked = [word for word, key in (("SMTPUTF8", "isSMTPUTF8"), ("REQUIRETLS", "requiresTLS")) if found[key]]
    if found["priority"]:
        asked.append(f"priority {found['priority']}")
    if found["envelopeId"]:
        asked.append(f"ENVID {found['envelopeId']}")
    if found["releaseAt"]:
        asked.append(f"not before {moment(found['releaseAt'])}")
    return asked


def _verb(name: str, done: str, about: str) -> None:
    """Add a command that does something to recipients."""

    @click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
    @_filtered
    @click.option("--all", "isAll", is_flag=True, help="Everything in the queue.")
    @asJSON
    @click.pass_context
    def run(ctx: click.Context, /, ids: tuple[int, ...], isAll: bool, asJSON: bool, **words: Any) -> None:
        chosen = _given(words)
        if not (ids or isAll or set(chosen) - {"text"}):
            raise click.UsageError("say which: an ID, an option that chooses, or --all", ctx)
        _report(access(ctx).perform(f"queue {name}", ids=list(ids), **chosen), done, asJSON)

    run.__doc__ = about
    if name == "bounce":
        run = click.option("--text", metavar="TEXT", help="What the senders are told.")(run)
    command.command(name)(run)


def _report(count: int, done: str, asJSON: bool) -> None:
    if asJSON:
        printJSON({"recipients": count})
    else:
        click.echo(f"{count} {'recipient' if count == 1 else 'recipients'} {done}")


_verb("retry", "to be tried at once", "Try waiting recipients at once. Those that are held stay held.")
_verb("hold", "held", "Let nobody try recipients until they are released.")
_verb("release", "released", "Let held recipients go on, at once.")
_verb("cancel", "cancelled, and nobody is told", "Forget recipients; nobody is told.")
_verb("bounce", "returned", "Return recipients to their senders now, with a report.")


@command.command()
@click.argument("domain")
@asJSON
@click.pass_context
def flush(ctx: click.Context, domain: str, asJSON: bool) -> None:
    """Try everything at once that waits for DOMAIN."""
    _report(access(ctx).perform("queue flush", domain=domain), "to be tried at once", asJSON)


@command.command()
@interval
@asJSON
@click.pass_context
def top(ctx: click.Context, every: float, asJSON: bool) -> None:
    """Watch the queue: how much there is, for whom, what is under way. q or Ctrl-C ends it. Once, where there is no terminal.

    \b
    Example:
      mailfw queue top --interval 5s
    """
    where = access(ctx)
    if asJSON:
        printJSON(where.perform("queue overview"))
        return
    from mailfw.app.commands.overview import screen

    watch(lambda: dict(where.perform("queue overview")), lambda seen, before, lines: screen(seen, before), every)
