"""A module of contracts or values as a chapter: its classes with their docstrings, read from the source, without importing it.

autodoc knows neither zope interfaces nor our fields. What begins with an underscore is nobody's business; a comment
`# --- Words ---` in the source is a heading, and so is what each module of a package says of itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docstrings import Docstring, markdown, read

MODULES = ("values", "errors", "stages", "tally", "interfaces")
"""Modules of mailfw that have a chapter, so that their names can be linked."""

_HEADING = re.compile(r"^# --- (.*?) -+$", re.MULTILINE)


def chapter(root: Path, module: str) -> str:
    """Markdown for all public names of a module. :param module: `mailfw.interfaces`."""
    first, *parts = _sources(root, module)
    names = homes(root)
    lines = [markdown(read(ast.get_docstring(ast.parse(first), clean=False)).text), ""]
    lines += _body(first, module, names)
    for part in parts:
        said = ast.get_docstring(ast.parse(part)) or ""
        lines += [f"## {said.splitlines()[0].rstrip('.')}", "", *_body(part, module, names)]
    return "\n".join(lines)


def _sources(root: Path, module: str) -> list[str]:
    """A module's source; a package's, with those of its modules, in the alphabet's order."""
    path = root / module.replace(".", "/")
    if not path.is_dir():
        return [path.with_suffix(".py").read_text()]
    own = path / "__init__.py"
    return [each.read_text() for each in (own, *sorted(set(path.glob("*.py")) - {own}))]


def _body(source: str, module: str, names: dict[str, str]) -> list[str]:
    """Its public names, under its own headings."""
    tree = ast.parse(source)
    headings = [(source[: match.start()].count("\n") + 1, match[1]) for match in _HEADING.finditer(source)]
    lines: list[str] = []
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        while headings and headings[0][0] < node.lineno:
            lines += [f"## {headings.pop(0)[1]}", ""]
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines += _Class(node, module, names).lines()
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            lines += _Function(node, module, names, "function").lines()
        elif _constant(node, following):
            lines += _constant(node, following)
    return lines


def homes(root: Path) -> dict[str, str]:
    """Where each name that can be linked lives: `Address` → `mailfw.values`."""
    found = {}
    for module in MODULES:
        for source in _sources(root, f"mailfw.{module}"):
            names = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
            found |= dict.fromkeys(names, f"mailfw.{module}")
    return found


def _constant(node: ast.stmt, following: ast.stmt | None) -> list[str]:
    """A name of the module that has a docstring below it."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name) or following is None:
        return []
    name = node.targets[0].id
    if name.startswith("_") or not isinstance(following, ast.Expr) or not isinstance(following.value, ast.Constant):
        return []
    return [f":::{{py:data}} {name}", markdown(read(str(following.value.value)).text), ":::", ""]


class _Qualifier(ast.NodeTransformer):
    """Gives names their modules, so that Sphinx finds them; it shows them without."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        home = self.names.get(node.id)
        return ast.Name(f"{home}.{node.id}") if home else node


class _Function:
    """A function, or a method."""

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, module: str, names: dict[str, str], kind: str) -> None:
        self.node = node
        self.module = module
        self.names = names
        self.kind = kind
        self.doc = read(ast.get_docstring(node, clean=False))

    def signature(self) -> str:
        arguments = _Qualifier(self.names).visit(ast.parse(ast.unparse(self.node)).body[0].args)  # type: ignore[attr-defined]
        plain = arguments.posonlyargs or arguments.args
        if self.kind == "method" and plain and plain[0].arg in ("self", "cls"):
            plain.pop(0)
        returns = f" -> {_written(self.node.returns, self.names)}" if self.node.returns is not None else ""
        return f"{self.node.name}({ast.unparse(arguments)}){returns}"

    def lines(self) -> list[str]:
        options = [f":module: {self.module}"] if self.kind == "function" else []
        if isinstance(self.node, ast.AsyncFunctionDef):
            options.append(":async:")
        if "classmethod" in _decorators(self.node):
            options.append(":classmethod:")
        return [f":::{{py:{self.kind}}} {self.signature()}", *options, "", *_told(self.doc), ":::", ""]


class _Class:
    """An interface, a value, an enumeration or an error."""

    def __init__(self, node: ast.ClassDef, module: str, names: dict[str, str]) -> None:
        self.node = node
        self.module = module
        self.names = names
        self.doc = read(ast.get_docstring(node, clean=False))
        self.bases = [ast.unparse(base) for base in node.bases]

    def lines(self) -> list[str]:
        kind = "exception" if self.module == "mailfw.errors" else "interface" if self.isInterface else "class"
        lines = [f":::::{{py:{kind}}} {self.node.name}", f":module: {self.module}", "", *self._bases()]
        lines += _told(Docstring(self.doc.text, tuple(each for each in self.doc.fields if each[0] != "ivar")))
        for line in self._members():
            lines.append(line)
        return [*lines, ":::::", ""]

    @property
    def isInterface(self) -> bool:
        return self.module == "mailfw.interfaces"

    def _bases(self) -> list[str]:
        """Whose promises it keeps too, where that is one of ours."""
        linked = [f"{{py:class}}`~{self.names[base]}.{base}`" for base in self.bases if base in self.names]
        return [f"*as* {', '.join(linked)}", ""] if linked else []

    def _members(self) -> Iterator[str]:
        told = self.doc.named("ivar")
        for node in self.node.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield from self._attribute(node.target.id, node.annotation, node.value, told.pop(node.target.id, ""))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and not self.isError:
                yield from self._attribute(node.targets[0].id, None, node.value, "")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                if "property" in _decorators(node):
                    yield from self._property(node)
                else:
                    yield from _Function(node, self.module, self.names, "method").lines()
        for name, text in told.items():
            yield from self._attribute(name, None, None, text)

    @property
    def isError(self) -> bool:
        return self.module == "mailfw.errors"

    def _attribute(self, name: str, annotation: ast.expr | None, value: ast.expr | None, text: str) -> Iterator[str]:
        if name.startswith("_"):
            return
        yield f"::::{{py:attribute}} {name}"
        if annotation is not None:
            yield f":type: {_written(annotation, self.names)}"
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "Attribute":
            text = ast.literal_eval(value.args[0])
        elif value is not None and not isinstance(value, ast.Call | ast.Dict):
            yield f":value: {ast.unparse(value)}"
        yield from ("", markdown(text), "::::", "")

    def _property(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
        yield f"::::{{py:property}} {node.name}"
        if node.returns is not None:
            yield f":type: {_written(node.returns, self.names)}"
        yield from ("", *_told(read(ast.get_docstring(node, clean=False))), "::::", "")


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [ast.unparse(each) for each in node.decorator_list]


def _written(annotation: ast.expr, names: dict[str, str]) -> str:
    return ast.unparse(_Qualifier(names).visit(ast.parse(ast.unparse(annotation), mode="eval").body))


def _told(doc: Docstring) -> list[str]:
    """Sentences, then fields as Sphinx knows them."""
    lines = [markdown(doc.text), ""]
    for kind, name, text in doc.fields:
        lines.append(f":{kind} {name}: {markdown(text)}".rstrip())
    return [*lines, ""] if doc.fields else lines
