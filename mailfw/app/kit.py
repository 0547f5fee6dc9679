"""New plugins: packages made from the templates in `templates/`, each of which is a working plugin named "specimen".

A template is Python that runs, is linted and is tested as it stands; making a plugin of it is to write another name for
"specimen" throughout. What every kind has is in `templates/common`; a file that both have is the kind's, followed by the common.

Invariants: a directory that is there is never touched; what is made is either whole or not there.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from attrs import frozen

from mailfw.app.problem import Problem
from mailfw.plugins import Kind

KINDS = {
    "storage": Kind.STORE,
    "auth": Kind.AUTHENTICATOR,
    "hook": Kind.HOOK,
    "service": Kind.SERVICE,
    "route": Kind.ROUTE,
}
"""The words for what a plugin can be, with what it then is to `mailfw.plugins`."""

_PLACES = {"gitignore": ".gitignore", "tests.yml": ".github/workflows/tests.yml"}
"""Files that would mean something where the templates lie."""

_LONGEST = 32


@frozen
class Names:
    """What a plugin is called. :ivar word: in configuration, before the colon."""

    word: str

    @classmethod
    def parse(cls, word: str) -> Names:
        """:raises Problem: a word that cannot be a prefix, a module and a package."""
        parts = word.split("-")
        if not all(part.isascii() and part.isalnum() and part == part.lower() for part in parts) or not word[0].isalpha():
            raise Problem(f'"{word}" is no name for a plugin: small letters and digits, single hyphens between, a letter first')
        if len(word) > _LONGEST:
            raise Problem(f'"{word}" is too long for a name: at most {_LONGEST} characters')
        return cls(word)

    @property
    def package(self) -> str:
        """What pip calls it."""
        return f"mailfw-{self.word}"

    @property
    def module(self) -> str:
        """What Python calls it."""
        return f"mailfw_{self.word.replace('-', '_')}"

    def within(self, text: str) -> str:
        """A template's text with these names in it."""
        camel = "".join(part.capitalize() for part in self.word.split("-"))
        for old, new in (("mailfw_specimen", self.module), ("Specimen", camel), ("specimen", self.word)):
            text = text.replace(old, new)
        return text


def make(kind: str, names: Names, parent: Path) -> list[Path]:
    """Make the package `mailfw-NAME` in a directory; the files made, sorted.

    :param kind: one of `KINDS`.
    :raises Problem: something of that name is there, or the directory cannot be written.
    """
    place = parent / names.package
    if place.exists() or place.is_symlink():
        raise Problem(f"{place} exists already, and is left as it is")
    template = _template(kind)
    _expectRoom(names, "".join(template.values()))
    contents = {names.within(path): names.within(text) for path, text in template.items()}
    try:
        beside = tempfile.mkdtemp(prefix=f".{names.package}-", dir=parent)
    except OSError as error:
        raise Problem(f"cannot write to {parent}: {error.strerror}") from None
    try:
        for path, text in contents.items():
            file = Path(beside, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        os.chmod(beside, 0o777 & ~_umask())
        os.rename(beside, place)
    except OSError as error:
        raise Problem(f"cannot make {place}: {error.strerror}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sorted(place / path for path in contents)


def _expectRoom(names: Names, template: str) -> None:
    """:raises Problem: the plugin's classes would be called as something is that the template uses."""
    identifiers = set(re.findall(r"\w+", template))
    for identifier in identifiers:
        if "Specimen" in identifier and names.within(identifier) in identifiers and names.word != "specimen":
            raise Problem(f'"{names.word}" is no name for a plugin: mailfw has a {names.within(identifier)} of its own')


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _template(kind: str) -> dict[str, str]:
    """A kind's files, by path."""
    root = files("mailfw.app") / "templates"
    found = dict(_texts(root / kind))
    for path, text in _texts(root / "common"):
        found[path] = found.get(path, "") + text
    return {_PLACES.get(path, path): text for path, text in found.items()}


def _texts(directory: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    for each in directory.iterdir():
        if each.is_dir():
            if each.name != "__pycache__":
                yield from _texts(each, f"{path}{each.name}/")
        else:
            yield path + each.name, each.read_text(encoding="utf-8")
