"""`mailfw plugin`: what can be named in the configuration, whether it keeps its promises, and a beginning for one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from attrs import asdict

from mailfw.app.checking import ENDED, Trial
from mailfw.app.commands.listing import asJSON, printJSON, printTable
from mailfw.app.kit import KINDS, Names, make
from mailfw.app.problem import Problem
from mailfw.plugins import Found, Kind, PluginError, didYouMean

_CHECK = """\
from mailfw.app.catalogue import plugins
from mailfw.plugins import Kind
from mailfw.testing.contract import contractOf

kind, word, argument, options, isTraced, isVolatile = {parameters!r}
kind = Kind(kind)
TestPlugin = contractOf(kind, plugins().find(kind, word), argument, options, isTraced, not isVolatile)
"""
"""The module that the test runner is given: a plugin is tried in a process of its own, and nobody here imports tests."""

_OWN = """\
from {module} import {name} as TestPlugin
"""


@click.group()
def command() -> None:
    """Stores, sources of accounts, hooks, routes and services: ours, those in twisted/plugins/ directories, those of packages.

    \b
    Examples:
      mailfw plugin list --why
      mailfw plugin new storage attic
      mailfw plugin check attic --argument attic.sqlite
    """


@command.command("list")
@click.option("--why", "isWhy", is_flag=True, help="Say where each comes from, and in full what is wrong with it.")
@click.option("--traceback", "isTraceback", is_flag=True, help="Print where each import failed.")
@asJSON
def list_(isWhy: bool, isTraceback: bool, asJSON: bool) -> None:
    """List every plugin, those that cannot be used with the reason.

    With --why: the entry point or file where each was found, the version of the package that brought it, the file that it is
    in, and the interface that it was checked against: that it declares it, has every method and attribute, takes the
    arguments, and has `async def` where the interface has. With --json all of that is printed anyway.
    """
    from mailfw.app.catalogue import plugins

    found = plugins().all()
    if asJSON:
        printJSON([_facts(each) for each in found])
        return
    rows = []
    for each in found:
        row = [each.kind.value if each.kind else "?", each.word or "?", f"BROKEN: {each.error}" if each.error else each.summary]
        rows.append([*row, each.origin, each.version, each.place, _verdict(each)] if isWhy else row)
    columns = ("KIND", "WORD", "WHAT")
    printTable((*columns, "FROM", "VERSION", "FILE", "CHECK") if isWhy else columns, rows, "there are no plugins")
    for each in found:
        if isTraceback and each.traceback:
            click.echo(f"\n{each.origin}:\n{each.traceback}", nl=False)


def _facts(found: Found) -> dict[str, str | None]:
    return {
        "kind": found.kind.value if found.kind else None,
        "word": found.word or None,
        "origin": found.origin,
        "version": found.version or None,
        "file": found.place or None,
        "interface": found.interface or None,
        "summary": found.summary,
        "error": found.error or None,
        "traceback": found.traceback or None,
    }


def _verdict(found: Found) -> str:
    if found.plugin is not None:
        return f"keeps {found.interface}"
    return f"breaks {found.interface}" if found.interface else "was not reached"


@command.command("new")
@click.argument("kind", metavar="KIND", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option("--in", "parent", metavar="DIR", default=".", show_default="here", help="Where to make the package's directory.")
@asJSON
def new(kind: str, name: str, parent: str, asJSON: bool) -> None:
    """Make a package of a new plugin that works, with its tests.

    KIND is storage, auth, hook, service or route. NAME is the word by which configuration names the plugin: small letters and
    digits, single hyphens between. The directory mailfw-NAME is made, with the plugin in one module, the tests of mailfw's
    contract for it, a README and what continuous integration runs. A directory that is there already is left as it is.

    \b
    Examples:
      mailfw plugin new storage attic
      cd mailfw-attic && pip install -e '.[test]' && pytest
      twistd -n mailfw --store attic:attic.sqlite
    """
    from mailfw.app.catalogue import plugins

    names = Names.parse(name)
    if plugins().isBuiltIn(KINDS[kind], name):
        raise Problem(f'"{name}" is the word for a {KINDS[kind].value} of our own: take another')
    made = make(kind, names, Path(parent))
    if asJSON:
        printJSON([str(path) for path in made])
        return
    for path in made:
        click.echo(path)
    click.echo(f"\ncd {Path(parent, names.package)} && pip install -e '.[test]' && pytest")


@command.command("check")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Which, where several kinds have the word.")
@click.option("--argument", metavar="TEXT", default="", help="What configuration says after the colon.")
@click.option("--options", metavar="JSON", default="{}", help="What [plugin.NAME] says, as a JSON object.")
@click.option("--traced", "isTraced", is_flag=True, help="Play crashes too: the simple store changes files by `os` alone.")
@click.option("--volatile", "isVolatile", is_flag=True, help="What the full store keeps is gone when it is closed.")
@click.option("--contract", metavar="MODULE:CLASS", help="Run the plugin's own test class in place of the contract of its kind.")
@click.option("--only", metavar="WORDS", help="Run the tests whose names have these words, as `pytest -k` takes them.")
@click.option("--patience", metavar="SECONDS", default=60.0, show_default=True, help="What one test may take before it is ended.")
@click.option("--verbose", "-v", "isVerbose", is_flag=True, help="Name each promise.")
@asJSON
def check(name: str, isVerbose: bool, patience: float, asJSON: bool, **chosen: Any) -> None:
    """Run the contract on an installed plugin, and report as a test runner does.

    NAME is its word in configuration. The plugin is opened in an empty directory, in a process of its own; no running server
    and none of your data is touched, as far as the plugin keeps to the directory that it is given. A route does send: give an
    --argument that leads where messages may go. A source of accounts is only asked about accounts that it does not have,
    unless --contract names a test class that knows some.

    A test that hangs is ended, with its process, after --patience; the others are run in another process. With --json the
    report is a list with each promise: the test's name, the promise in words, its outcome (kept, broken, skipped, hung, died),
    what was seen instead or why it was not tried, and the seconds that it took.

    Exit status: 0 every promise is kept; 1 one is broken, or the plugin cannot be found or opened; 3 a test hung, or took the
    process with it. Needs mailfw[test].

    \b
    Examples:
      mailfw plugin check attic --argument attic.sqlite
      mailfw plugin check attic --only "append or durable" -v
      mailfw plugin check doorman --contract doorman_tests:TestDoorman
      mailfw plugin check antispam --options '{"words": ["casino"]}' --json
    """
    source = _own(chosen["contract"]) if chosen["contract"] else _generic(name, chosen)
    trial = Trial(f"test_{name.replace('-', '_')}", source, patience, chosen["only"] or "", isVerbose, isQuiet=asJSON)
    tried = trial.run()
    if asJSON:
        printJSON([asdict(one) for one in tried])
    for one in tried:
        if one.outcome in ENDED and not asJSON:
            click.echo(f"{name}: {one.test} {one.outcome}: {one.sentence}", err=True)
    bad = {one.outcome for one in tried} - {"kept", "skipped"}
    click.get_current_context().exit((3 if bad & set(ENDED) else 1) if bad else 0)


def _own(contract: str) -> str:
    module, colon, name = contract.partition(":")
    if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise Problem(f'"{contract}" names no test class: write MODULE:CLASS')
    return _OWN.format(module=module, name=name)


def _generic(name: str, chosen: dict[str, Any]) -> str:
    try:
        options = json.loads(chosen["options"])
    except ValueError as error:
        raise Problem(f"--options is no JSON: {error}") from None
    if not isinstance(options, dict):
        raise Problem("--options is no JSON object")
    kind = _kind(name, chosen["kind"])
    return _CHECK.format(parameters=(kind.value, name, chosen["argument"], options, chosen["isTraced"], chosen["isVolatile"]))


def _kind(word: str, wanted: str | None) -> Kind:
    """The kind of the plugin of that word. :raises Problem: there is none, it is broken, or there are several."""
    from mailfw.app.catalogue import plugins

    kinds = [KINDS[wanted]] if wanted else list(Kind)
    having = [kind for kind in kinds if word in _words(kind)]
    if len(having) > 1:
        which = " and ".join(name for name, kind in KINDS.items() if kind in having)
        raise Problem(f'"{word}" is {which}: say which with --kind')
    try:
        if having:
            plugins().find(having[0], word)
            return having[0]
        if wanted:
            plugins().find(kinds[0], word)
    except PluginError as error:
        raise Problem(str(error)) from None
    raise Problem(f'there is no plugin "{word}"{didYouMean(word, _every(kinds))}; mailfw plugin list --why says what was found')


def _words(kind: Kind) -> set[str]:
    """Every word of a kind, of broken plugins too."""
    from mailfw.app.catalogue import plugins

    return {*plugins().words(kind), *(found.word for found in plugins().all() if found.kind is kind)}


def _every(kinds: Iterable[Kind]) -> list[str]:
    return sorted({word for kind in kinds for word in _words(kind)})
