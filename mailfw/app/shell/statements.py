"""Lines as statements, and what of a statement may be written down. Pure.

A statement may hold `await` at its top. A block ends with an empty line, as at Python's own prompt; or, so that what is pasted
works, with the next line that is not indented.
"""

from __future__ import annotations

import ast
import codeop
import re
from types import CodeType

FILENAME = "<console>"
MASK = "***"

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_CLAUSE = re.compile(r"(?:else|elif|except|finally|case)\b")
_SECRET = re.compile(r"passw(?:or)?d|passphrase|secret|token|credential", re.IGNORECASE)
_SECRET_CALLS = frozenset(("addUser", "setPassword", "importUsers", "authenticate", "password"))


class Lines:
    """Puts statements together from lines. :ivar isInside: the next line goes on with a statement."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._compile = codeop.CommandCompiler()
        self._compile.compiler.flags |= _FLAGS

    @property
    def isInside(self) -> bool:
        return bool(self._lines)

    def push(self, line: str, isTyped: bool = True) -> list[str]:
        """The statements that are whole with a line, those that Python cannot read among them: none, one, or, where the line only
        ended a block, two.

        :param isTyped: an empty line ends a block; of a program that comes whole, empty lines are a part.
        """
        whole = []
        if self._lines and self._endsBlock(line):
            whole.append(self.take())
        if line.strip() or self._lines:
            isBlank = bool(self._lines) and not line.strip()
            self._lines.append(line)
            if (isTyped or not isBlank) and self._isWhole("\n".join(self._lines)):
                whole.append(self.take())
        return whole

    def take(self) -> str:
        """What has come of a statement; the next line begins one."""
        lines, self._lines = self._lines, []
        return "\n".join(lines)

    def _endsBlock(self, line: str) -> bool:
        if not line.strip() or line[0] in " \t#)]}" or _CLAUSE.match(line):
            return False
        try:
            return self._compile("\n".join(self._lines) + "\n", FILENAME) is not None
        except (SyntaxError, ValueError, OverflowError):
            return False

    def _isWhole(self, source: str) -> bool:
        try:
            return self._compile(source, FILENAME) is not None
        except (SyntaxError, ValueError, OverflowError):
            return True


def compiled(source: str) -> list[tuple[CodeType, bool]]:
    """A statement as code to be run piece by piece, each with whether it is an expression, whose value is to be shown.

    :raises SyntaxError: it is no Python.
    """
    tree = compile(source, FILENAME, "exec", _FLAGS | ast.PyCF_ONLY_AST)
    pieces: list[tuple[CodeType, bool]] = []
    for node in tree.body:
        if isinstance(node, ast.Expr):
            pieces.append((compile(ast.Expression(node.value), FILENAME, "eval", _FLAGS), True))
        else:
            pieces.append((compile(ast.Module([node], []), FILENAME, "exec", _FLAGS), False))
    return pieces


def discreet(source: str) -> tuple[str, bool]:
    """A statement as it may be logged and kept, and whether anything in it was masked.

    Masked are the strings given to calls that take passwords, those given by a name that says so, and those that such a name
    comes to mean. What is no Python is masked whole: nothing can be known of it.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return f"({len(source)} characters that are no Python)", True
    secrets = {(each.lineno, each.col_offset): each for node in ast.walk(tree) for each in _secretsOf(node)}
    lines = source.encode().split(b"\n")  # ast counts octets
    for _, node in sorted(secrets.items(), reverse=True, key=lambda item: item[0]):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        tail = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [lines[first][: node.col_offset] + repr(MASK).encode() + tail]
    return b"\n".join(lines).decode(), bool(secrets)


def _secretsOf(node: ast.AST) -> list[ast.Constant]:
    match node:
        case ast.Call(func=func, args=args, keywords=keywords):
            name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
            found = _strings(args) if name in _SECRET_CALLS or _SECRET.search(name) else []
            return found + _strings([each.value for each in keywords if each.arg and _SECRET.search(each.arg)])
        case ast.Assign(targets=targets, value=value) if any(_SECRET.search(ast.unparse(each)) for each in targets):
            return _strings([value])
        case ast.Dict(keys=keys, values=values):
            named = zip(keys, values, strict=True)
            return _strings([value for key, value in named if key is not None and _SECRET.search(ast.unparse(key))])
    return []


def _strings(nodes: list[ast.expr]) -> list[ast.Constant]:
    """The strings in expressions."""
    inside = [each for node in nodes for each in ast.walk(node)]
    return [each for each in inside if isinstance(each, ast.Constant) and isinstance(each.value, str | bytes)]
