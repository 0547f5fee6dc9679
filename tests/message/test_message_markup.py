"""HTML as programs read it: texts, links, and nothing that costs more than its size."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.markup import read, unescape


@pytest.mark.parametrize(
    "document, text, links",
    [
        ("a &lt; b &amp c", "a < b & c", []),
        ("<p>one</p>two<br>three", "\none\ntwo\nthree", []),
        ('<a href="http://x/?a=1&amp;b=2">y</a>', "y", ["http://x/?a=1&b=2"]),
        ("<A HREF='x' href=y>z</A>", "z", ["x"]),
        ("<a class=b href = x >z</a >", "z", ["x"]),
        ("<a/href=x>z", "z", ["x"]),
        ("<area href=x><link href=y><a name=z>", "", ["x"]),
        ("a<!-- <a href=x> -->b<!doctype html>c<?php d ?>e</ f>g", "abceg", []),
        ("a<script>if (a < b) '<a href=x>'</SCRIPT >b<style>i</styled></style>c", "abc", []),
        ("1 < 2, <3 and a<b>c", "1 < 2, <3 and ac", []),
        ("<a title='>' href=x>y", "y", ["x"]),
        ("a<a href='x>b", "a", []),
        ("a<!-- b", "a", []),
        ("a<script>b", "a", []),
        ("a<a href=x", "a", []),
        ("a<", "a<", []),
    ],
)
def test_what_is_read(document, text, links):
    found = read(document)
    assert (found.text, found.links) == (text, links)


@given(st.text(alphabet="<>!-/ a='\"&#;1x\n[script", max_size=60))
def test_nothing_raises(document):
    found = read(document)
    assert len(found.text) <= len(document) + document.count("<")


def test_a_long_number_is_no_character():
    assert unescape(f"a&#{'9' * 5000};b&#65;") == "a\ufffdbA"
    assert unescape("&#x" + "f" * 5000) == "\ufffd"


UNITS = "<", "<a ", "<a href=", "<a href='", "<!", "<!--", "<?", "</", "</a ", "&", "&#1", "<a x ", "<script>", "<script></scrip"


@pytest.mark.parametrize("unit", [*UNITS, "<![CDATA["])
def test_reading_takes_time_in_proportion(unit):
    """Ten times the size may take ten times as long, not a hundred times."""
    small, large = unit * (20_000 // len(unit)), unit * (1_000_000 // len(unit))
    began = process_time()
    read(small)
    between = process_time()
    read(large)
    assert process_time() - between < max(0.5, 500 * (between - began))
