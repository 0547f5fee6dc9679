"""Which addresses a pattern means, and how long it takes to see that."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailfw.code.pattern import CONVERTERS, Pattern, PatternError, Variable, match, overlap


def values(pattern, local):
    return match(Pattern.parse(f"{pattern}@example.org").local, local)


@pytest.mark.parametrize(
    "pattern, local, found",
    [
        ("ticket-{id:int}", "ticket-17", {"id": 17}),
        ("ticket-{id:int}", "TICKET-017", {"id": 17}),
        ("ticket-{id:int}", "ticket-", None),
        ("ticket-{id:int}", "ticket-1x", None),
        ("ticket-{id:int}", "ticket-\u0661", None),
        ("ticket-{id:int}", "ticket-" + "9" * 18, {"id": 10**18 - 1}),
        ("ticket-{id:int}", "ticket-" + "9" * 19, None),
        ("{user}", "J.Smith", {"user": "J.Smith"}),
        ("{user}", "jsmith+shop", None),
        ("{user:any}", "jsmith+shop", {"user": "jsmith+shop"}),
        ("{list}-{request}", "a-b-c", {"list": "a", "request": "b-c"}),
        ("{list}-bounces", "x-bounces-bounces", {"list": "x-bounces"}),
        ("{name:slug}-{id:int}", "foo-bar-17", {"name": "foo-bar", "id": 17}),
        ("{name:word}-{id:int}", "foo-bar-17", None),
        ("{day:int}.{month:int}", "24.11", {"day": 24, "month": 11}),
        ("reply+{token:word}", "reply+A1b2", {"token": "A1b2"}),
        ("{all:any}", "a\x00b", None),
        ("{all:any}", "x" * 321, None),
    ],
)
def test_matching(pattern, local, found):
    assert values(pattern, local) == found


@pytest.mark.parametrize(
    "text, said",
    [
        ("ticket", "is no pattern of an address"),
        ("@example.org", "is no pattern of an address"),
        ("{a}{b}@example.org", "nothing divides {b}"),
        ("{a:float}@example.org", 'there is no converter "float"; there are int, word, slug, str, any'),
        ("{a@example.org", "cannot stand there"),
        ("{1a}@example.org", "cannot stand there"),
        ("{a}-{a}@example.org", "two places for a"),
        ("a b@example.org", "cannot stand there"),
    ],
)
def test_what_is_no_pattern(text, said):
    with pytest.raises(PatternError, match=re.escape(said)):
        Pattern.parse(text)


def asRegex(part):
    """The same by the standard library: the first variable takes as little as it can."""
    classes = {"int": "[0-9]", "word": r"\w", "slug": r"[\w-]", "str": r'[^+/ @"\\<>\x00-\x1f\x7f]', "any": r"[^\x00-\x1f\x7f]"}
    return "".join(
        f"(?P<{each.name}>{classes[each.converter.name]}+?)" if isinstance(each, Variable) else re.escape(each) for each in part
    )


pieces = st.sampled_from(["a", "-", ".", "b-", "{}", "{}"])


@st.composite
def patterns(draw):
    text = "".join(draw(st.lists(pieces, min_size=1, max_size=6)))
    while "{}{}" in text:
        text = text.replace("{}{}", "{}")
    for name in "vwxyz":
        text = text.replace("{}", f"{{{name}:{draw(st.sampled_from(sorted(CONVERTERS)))}}}", 1)
    return Pattern.parse(f"{text.replace('{}', 'c')}@example.org").local


@settings(max_examples=300)
@given(patterns(), st.text("ab-.01+", min_size=1, max_size=12))
def test_it_matches_what_a_regular_expression_matches(part, text):
    found = re.fullmatch(asRegex(part), text)
    wanted = {each.name: each.converter for each in part if isinstance(each, Variable)}
    expected = found and {name: wanted[name].value(value) for name, value in found.groupdict().items()}
    assert match(part, text) == expected


@settings(max_examples=200)
@given(patterns(), patterns())
def test_an_overlap_is_an_address_of_both(one, other):
    common = overlap(one, other)
    if common is not None:
        assert match(one, common) is not None and match(other, common) is not None


def test_no_overlap():
    def of(a, b):
        return overlap(Pattern.parse(f"{a}@x.org").local, Pattern.parse(f"{b}@x.org").local)

    assert of("a-{x:int}", "b-{x:int}") is None
    assert of("{x:int}", "{x:int}-{y}") is None
    assert of("{x:word}-b", "a-{y:word}") == "a-b"
    assert of("{x:any}", "reply+{y:word}") == "reply+a"


def test_time_is_in_proportion_to_the_length():
    """A backtracking matcher would need the age of the world."""
    part = Pattern.parse("{a:any}-{b:any}-{c:any}-{d:any}-{e:any}-{f:any}-{g:any}x@example.org").local
    began = time.process_time()
    assert match(part, "-" * 320) is None
    assert time.process_time() - began < 0.5
