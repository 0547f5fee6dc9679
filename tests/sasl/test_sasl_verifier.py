"""Verifiers, made-up verifiers, SASLprep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.sasl.prep import saslPrep
from mailfw.sasl.verifier import Verifier, makeUp

# Written by `doveadm pw -s SCRAM-SHA-256 -p pencil`, without its prefix; likewise SCRAM-SHA-1.
BY_DOVEADM = {
    "SCRAM-SHA-256": "4096,eLjHQHuwFaFX9e5gIOAhFA==,LIAm24545XC2Gfur703NAhWn7oIzycuqP6YqVvA+Mjg=,"
    "Wghq51AXYkrz043tqcE5LEdlA2VdK0jM8yzPZazTEKs=",
    "SCRAM-SHA-1": "4096,znE5mKl9gARzOXLG1J6l2g==,eZlXF8aVL3hhLdN2wxtVf2t3MGQ=,lkyHEnJ8S4xiDYV069TaST1UQ/Q=",
}


@pytest.mark.parametrize("mechanism", BY_DOVEADM)
def test_readsAndWritesDovecotsForm(mechanism):
    verifier = Verifier.parse(mechanism, BY_DOVEADM[mechanism])
    assert str(verifier) == BY_DOVEADM[mechanism]
    assert verifier.matches(mechanism, "pencil")
    assert not verifier.matches(mechanism, "Pencil")


@given(st.sampled_from(sorted(BY_DOVEADM)), st.binary(min_size=1, max_size=40), st.integers(1, 10**7), st.data())
def test_comesBackFromText(mechanism, salt, iterations, data):
    size = {"SCRAM-SHA-256": 32, "SCRAM-SHA-1": 20}[mechanism]
    storedKey, serverKey = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    verifier = Verifier(salt, iterations, storedKey, serverKey)
    assert Verifier.parse(mechanism, str(verifier)) == verifier


@pytest.mark.parametrize(
    "text", ["", "4096", "x,c2FsdA==,AAAA,AAAA", "4096,c2FsdA==,AAAA,AAAA", "4096,,{k},{k}", "0,AAAA,{k},{k}"]
)
def test_refusesWhatIsNone(text):
    key = "A" * 43 + "="
    with pytest.raises(ValueError, match="not a verifier for SCRAM-SHA-256"):
        Verifier.parse("SCRAM-SHA-256", text.format(k=key))


def test_keepsItsKeysOutOfLogs():
    verifier = Verifier(b"salt", 4096, b"stored key", b"server key")
    assert "key" not in repr(verifier).replace("Key", "")


def test_madeUpIsSteadyAndLooksReal():
    real = Verifier.fromPassword("SCRAM-SHA-256", "pencil")
    madeUp = makeUp("SCRAM-SHA-256", "nobody@example.org", b"secret")
    assert madeUp == makeUp("SCRAM-SHA-256", "nobody@example.org", b"secret")
    assert (len(madeUp.salt), madeUp.iterations) == (len(real.salt), real.iterations)
    others = {
        makeUp("SCRAM-SHA-256", "nobody@example.org", b"other").salt,
        makeUp("SCRAM-SHA-256", "somebody@example.org", b"secret").salt,
        makeUp("SCRAM-SHA-1", "nobody@example.org", b"secret").salt,
    }
    assert len(others | {madeUp.salt}) == 4


# RFC 4013 §3
@pytest.mark.parametrize(
    ("text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b"), ("", "")],
)
def test_saslPrepAsTheRFCSays(text, prepared):
    assert saslPrep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "a\u0627", "\ud800", "a\u200e"])
def test_saslPrepRefuses(text):
    with pytest.raises(ValueError):
        saslPrep(text)


@given(st.text(max_size=40))
def test_saslPrepIsIdempotent(text):
    try:
        prepared = saslPrep(text)
    except ValueError:
        return
    assert saslPrep(prepared) == prepared
