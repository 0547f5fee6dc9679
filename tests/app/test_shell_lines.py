"""What is typed: keys, the line that they make, statements of lines, and what of them may be written down."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.app.shell.editor import Editor, coloured
from mailfw.app.shell.keys import Keys
from mailfw.app.shell.statements import Lines, compiled, discreet

SAMPLE = "sét 日本\x1b[A\x1b[1;5D\x1bOH\t\r\n\x7f\x03\x1b[200~a\tb\rc\x1b[201~\x1b[3~\x1b[999xz".encode()


def test_keysAreCharactersOrHaveNames() -> None:
    assert Keys().feed(SAMPLE) == [
        *"sét 日本",
        *("up", "word left", "home", "tab", "enter", "backspace", "c-c"),
        *("a", " ", " ", " ", " ", "b", "pasted", "c", "delete", "z"),
    ]


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=6))
def test_keysAreTheSameHoweverTheyAreCut(cuts: list[int]) -> None:
    keys, found, at = Keys(), [], 0
    for cut in [*sorted(cuts), len(SAMPLE)]:
        found += keys.feed(SAMPLE[at:cut])
        at = cut
    assert found == Keys().feed(SAMPLE)


@given(st.binary(max_size=200))
def test_anyOctetsAreKeys(data: bytes) -> None:
    for key in Keys().feed(data):
        assert len(key) > 1 or key.isprintable()


def type_(editor: Editor, *keys: str) -> Editor:
    for key in keys:
        for each in [key] if key in ("up", "down", "tab", "left", "home", "end", "backspace") or key[1:2] == "-" else key:
            editor.press(each)
    return editor


def names(begun: str) -> list[str]:
    return [each for each in ("sessions", "services", "server", "store.account") if each.startswith(begun)]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (("abc", "left", "left", "X"), "aXbc"),
        (("abc", "home", "X", "end", "Y"), "XabcY"),
        (("one two", "c-w"), "one "),
        (("one two", "c-w", "c-y", "c-y"), "one twotwo"),
        (("one two", "home", "c-k", "x"), "x"),
        (("abc", "c-u", "x"), "x"),
        (("abc", "left", "backspace"), "ac"),
        (("sess", "tab"), "sessions"),
        (("s", "tab"), "s"),
        (("ser", "tab"), "serv"),
        (("x = sto", "tab"), "x = store.account"),
        (("tab",), "    "),
        (("up",), "second"),
        (("new", "up", "up", "down", "down"), "new"),
        (("up", "up", "up"), "first"),
        (("c-r", "fir"), "first"),
        (("c-r", "fir", "left", "X"), "firsXt"),
        (("c-r", "s", "c-r"), "first"),
        (("new", "c-r", "fir", "c-g"), "new"),
    ],
)
def test_aLineIsEdited(keys: tuple[str, ...], text: str) -> None:
    assert type_(Editor(["first", "second"], names), *keys).text == text


def test_twoTabsShowWhatANameCouldBe() -> None:
    editor = type_(Editor([], names), "ser", "tab")
    assert not editor.offers
    assert list(type_(editor, "tab").offers) == ["server", "services"]


def test_aLineThatWasTakenIsInTheHistoryOnce() -> None:
    editor = Editor([], names)
    for line in ("a", "a", " ", "b"):
        type_(editor, line)
        assert editor.take() == line
    assert editor.history == ["a", "b"]


def screenOf(drawn: str, width: int) -> tuple[list[str], tuple[int, int]]:
    """What a terminal of that width shows, and where its cursor is."""
    rows: dict[tuple[int, int], str] = {}
    row = column = 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[\s\S]", drawn):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
        elif piece.startswith("\x1b"):
            count = int(piece[2:-1].split(";")[0] or 1) if piece[2:-1] else 1
            if piece[-1] == "A":
                row -= count
            elif piece[-1] == "B":
                row += count
            elif piece[-1] == "C":
                column += count
            elif piece[-1] == "J":
                rows = {place: each for place, each in rows.items() if place < (row, column)}
        else:
            if column == width:
                row, column = row + 1, 0
            rows[row, column] = piece
            column += 1
    last = max((place[0] for place in rows), default=0)
    return ["".join(rows.get((each, at), " ") for at in range(width)).rstrip() for each in range(last + 1)], (row, column)


@given(st.text("abc 'x", min_size=0, max_size=70), st.integers(0, 70), st.integers(8, 30))
def test_aLineIsDrawnWhereItBelongsHoweverLongItIs(text: str, back: int, width: int) -> None:
    editor = type_(Editor([], names), "zz", *text)
    drawn = editor.draw(">>> ", width)
    for _ in range(back):
        editor.press("left")
        drawn += editor.draw(">>> ", width)
    shown, cursor = screenOf(drawn, width)
    whole = ">>> " + editor.text
    assert "".join(row.ljust(width) for row in shown).rstrip() == whole.rstrip()
    assert cursor == divmod(4 + editor.at, width)
    shown, cursor = screenOf(drawn + editor.leave(width, ">>> "), width)
    assert cursor == (len(whole) // width + 1, 0)


@given(st.text(max_size=60))
def test_coloursChangeNothingElse(text: str) -> None:
    line = text.replace("\x1b", "")
    assert re.sub(r"\x1b\[[0-9]*m", "", coloured(line)) == line


# --- Statements ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "statements"),
    [
        (["1"], ["1"]),
        (["", "  ", "1"], ["1"]),
        (["x = (1,", "2)"], ["x = (1,\n2)"]),
        (["for a in b:", "  c", ""], ["for a in b:\n  c\n"]),
        (["for a in b:", "  c", "d"], ["for a in b:\n  c", "d"]),
        (["if a:", "  b", "else:", "  c", "d"], ["if a:\n  b\nelse:\n  c", "d"]),
        (["try:", "  b", "finally:", "  c", "d"], ["try:\n  b\nfinally:\n  c", "d"]),
        (["@a", "def b():", "  c", "d"], ["@a\ndef b():\n  c", "d"]),
        (["async def b():", "  await c", "await b()"], ["async def b():\n  await c", "await b()"]),
        (["await a"], ["await a"]),
        (["a b"], ["a b"]),
        (['"""', "x", '"""'], ['"""\nx\n"""']),
        (["f(", ")"], ["f(\n)"]),
    ],
)
def test_linesBecomeStatements(lines: list[str], statements: list[str]) -> None:
    reader = Lines()
    assert [each for line in lines for each in reader.push(line)] == statements
    assert not reader.isInside


def test_emptyLinesArePartOfAProgramThatComesWhole() -> None:
    reader = Lines()
    lines = ["", "def f():", "    1", "", "    2", "", "", "f()", "for a in b:", "    c", ""]
    assert [each for line in lines for each in reader.push(line, False)] == ["def f():\n    1\n\n    2\n\n", "f()"]
    assert reader.take() == "for a in b:\n    c\n"


def test_everyExpressionOfAStatementIsShown() -> None:
    assert [isExpression for _, isExpression in compiled("a = 1; a; await b; del a")] == [False, True, True, False]


@pytest.mark.parametrize(
    ("statement", "written"),
    [
        ("sessions()", None),
        ('store.account("jsmith")["INBOX"]', None),
        ('accounts.setPassword("jsmith", "geheim")', "accounts.setPassword('***', '***')"),
        ('f(1, password="geheim")', "f(1, password='***')"),
        ('f(1, newPasswd=f"a{b}geheim")', "masked"),
        ('password = "geheim"', "password = '***'"),
        ('x["secret"] = b"geheim"', "x[\"secret\"] = '***'"),
        ('{"api_token": "geheim", "b": "c"}', '{"api_token": \'***\', "b": "c"}'),
        ('PasswordCredentials("jsmith", "geheim")', "PasswordCredentials('***', '***')"),
        ('f(x, token="ge" + "heim"); g("ö", secret="""ge\nheim""")', "f(x, token='***' + '***'); g(\"ö\", secret='***')"),
        ('setPassword("geheim"', "(20 characters that are no Python)"),
    ],
)
def test_whatLooksLikeAPasswordIsNotWrittenDown(statement: str, written: str | None) -> None:
    said, hasSecret = discreet(statement)
    assert hasSecret == (written is not None)
    assert "geheim" not in said
    if written != "masked":
        assert said == (written or statement)
