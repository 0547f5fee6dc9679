"""`mailfw plugin`: what can be named in the configuration, whether it keeps its promises, and a beginning for one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

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

_REPORT = "mailfw.testing.report"
_RAN = (0, 1, 5)
"""A test runner's status when it came to the end: all well, something failed, nothing left to do."""

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
@click.option("--patience", metavar="SECONDS", type=click.FloatRange(min=1), default=60.0, help="What a test may take [60].")
@click.option("--verbose", "-v", "isVerbose", is_flag=True, help="Name each promise.")
@asJSON
def check(name: str, isVerbose: bool, asJSON: bool, **chosen: Any) -> None:
    """Run the contract on an installed plugin, and report as a test runner does.

    NAME is its word in configuration. The plugin is opened in an empty directory, in a process of its own; no running server
    and none of your data is touched, as far as the plugin keeps to the directory that it is given. A route does send: give an
    --argument that leads where messages may go. A source of accounts is only asked about accounts that it does not have,
    unless --contract names a test class that knows some.

    A promise in which the plugin hangs is broken: its process ends after --patience, and another goes on with the next one.
    So it is where the process dies. With --json nothing is printed but, for each promise, what became of it: kept, broken,
    hung, died or skipped, and in a sentence what was seen.

    Exit status: 0 every promise is kept, 1 one is broken. Needs mailfw[test].

    \b
    Examples:
      mailfw plugin check attic --argument attic.sqlite
      mailfw plugin check attic --only "append or durable" -v
      mailfw plugin check attic --json | jq '.[] | select(.outcome == "broken")'
      mailfw plugin check doorman --contract doorman_tests:TestDoorman
    """
    source = _own(chosen["contract"]) if chosen["contract"] else _generic(name, chosen)
    if find_spec("pytest") is None or find_spec("pytest_twisted") is None:
        raise Problem("the test runner is not installed: pip install 'mailfw[test]'")
    with tempfile.TemporaryDirectory(prefix="mailfw-check-") as directory:
        module = Path(directory, f"test_{name.replace('-', '_')}.py")
        module.write_text(source, encoding="utf-8")
        words = ["--tb=short", "-rfEs", "-v" if isVerbose else "-q", f"--mailfw-patience={chosen['patience']}"]
        words += ["-k", chosen["only"]] if chosen["only"] else []
        status, results = _checked(module, words, asJSON)
    if asJSON:
        printJSON(results)
    for result in results:
        if result["outcome"] in ("hung", "died") and not asJSON:  # the test runner could not say it
            click.echo(f"{result['outcome'].upper()} {result['test']} - {result['promise']}. Instead: {result['sentence']}")
    click.get_current_context().exit(status)


def _checked(module: Path, words: Sequence[str], isQuiet: bool) -> tuple[int, list[dict[str, Any]]]:
    """Run a module of tests, going on in another process where one has to end. → exit status, and what became of each test."""
    directory = module.parent
    report = directory / "report"
    runner = [sys.executable, "-m", "pytest", str(module), "-p", "no:cacheprovider", f"--rootdir={directory}", "-c", os.devnull]
    runner += ["--import-mode=importlib", f"--basetemp={directory}/places", "-p", _REPORT, f"--mailfw-report={report}", *words]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    while True:
        known = len(_lines(report))
        run = subprocess.run(runner, env=environment, check=False, stdout=subprocess.PIPE if isQuiet else None)
        lines = _lines(report)
        isDead = len(lines) > known and lines[-1]["outcome"] == "under way"  # whatever status the plugin chose
        if not isDead and (run.returncode in _RAN or len(lines) == known):
            break
        if isDead:
            lost = {"outcome": "died", "sentence": f"the process ended, with status {run.returncode}"}
            with report.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**lines[-1], **lost}) + "\n")
    results = [line for line in _lines(report) if line["outcome"] != "under way"]
    if run.returncode not in _RAN or not results:
        click.echo(run.stdout or b"", nl=False, err=True)
        raise Problem(f"nothing was checked: the test runner's status is {run.returncode}")
    isBroken = any(result["outcome"] not in ("kept", "skipped") for result in results)
    return int(isBroken or run.returncode == 1), results


def _lines(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()] if report.exists() else []


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
