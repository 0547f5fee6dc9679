"""Every way in which a password may be stored, against what other programs wrote."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.auth import crypts, hashes
from mailfw.auth.hashes import UnknownScheme, UnusableHash
from mailfw.sasl.verifier import Verifier

PASSWORD = "pässword"

BY_DOVEADM = [
    # doveadm pw -s SCHEME -p pässword
    "{PLAIN}pässword",
    "{CLEARTEXT}pässword",
    "{CLEAR}pässword",
    "{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=",
    "{SHA1}I7dElEdfX4dJgLdnbVEeI9iG2mQ=",
    "{SHA256}NHgme1YSeRtAmIkGs6eJfrarUB4EuV7TL5nQr99mnZw=",
    "{SHA512}KF3icbSeAO9oGc8Ku/AxXpfCXLo2FhZ8dw78Umxki03hH0sA3HH67TOjEse6g2kNPtFKqq32tiKqSJlv8H7IpA==",
    "{SSHA}wcYz4dF7E4YjOnoZrBbjpBUYCexQuRov",
    "{SSHA256}eTkToFa1at0yuHL8J5HBUkBWBZFOAO7c/lbVpDIPE01fGNaV",
    "{SSHA512}a2iiKDCeJQBywqjbKC7p3+jALzZkZ8QW2L7BHK8ymFS9n8U1hKxhKZCWdzMa/Bphzn65siKEWglv70JGr6HaMbbFcfE=",
    "{SMD5}N2o73eJiv9SC5iJtjwseFKrK1Y8=",
    "{PLAIN-MD5}8e1843033a0f6ee52e2f618aa8ebbef4",
    "{LDAP-MD5}jhhDAzoPbuUuL2GKqOu+9A==",
    "{MD5}$1$tK1pRkiS$ZiHVwc8DGHLwqDT/DUPLu1",
    "{MD5-CRYPT}$1$jAU2Manm$CyMyN.FDZPP4SOyvmUhLQ0",
    "{DES-CRYPT}k8gNSJ/1cle.c",
    "{CRYPT}$2y$05$3HjczVzcJO6BUEP5lx7KEuGSDF8lV.lECN3V949m8PGZIQa501Dl2",
    "{BLF-CRYPT}$2y$05$oxqQLSNQEUML/MCkQh1zXeproYNkgBUcyX05bN1A1D7LeuD0B4nL.",
    "{SHA256-CRYPT}$5$EbLXM2lG2onK/nZQ$jHKKJ7oR1HNwDW6/FVlGFHUo.TrygCN6nHbsKhd6G27",
    "{SHA512-CRYPT}$6$gnPYDKjuhtxxNrEW$QXIiKSD1FgYxDzne5qz9Cy/j2x7K7sXhBcKcmyeadQAexc6GGw2F8kouheEZWNCyslb5V5IgIewSjgt7YG4w4.",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$IZ+pWrxlZwThggpDtVnpmA$xUUg2Wohy1M6vv0I6cROca2ynI0NR8sJmTlbKYOm5lk",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$sB+TJ9Pp1iBc69JdOivcjA$HzRfi+JITdBOE7quDfYtYyo+bvg8pHRjSPChL6IQwL8",
    "{PBKDF2}$1$URHuGieEOAE0M.Kk$5000$183872129b5ba24b73b580e6b4470de32183221c",
    "{CRAM-MD5}7dead29c194d4ac3cf5f337b23fa3b9b32c9f4b1d7d7b1fa2539d66ce368e997",
    "{HMAC-MD5}7dead29c194d4ac3cf5f337b23fa3b9b32c9f4b1d7d7b1fa2539d66ce368e997",
    "{SCRAM-SHA-1}4096,ScJX5aBWp/h62jynXhxDcg==,yzEm/B87et7F/q8/RpeJYftZz7g=,MP/7d9IdsrV6OrqlcjNVD1E9778=",
    "{SCRAM-SHA-256}4096,BXsLvWGzpbhqNqkVljel2g==,ywRnQ2zVKIAI6v1DOseUfaVkaQrr0HWtsq/dEEUuF6Q=,TzHp+32qxX"
    "vtgDmy5ukVJJtUIdI/+iwqm5fVTfL/i8s=",
    "{SSHA.HEX}44e540bf416d97c94d8b99b0b5f9116b87cb7a26d86207dd",
    "{SHA256.HEX}3478267b5612791b40988906b3a7897eb6ab501e04b95ed32f99d0afdf669d9c",
    "{SHA.B64}I7dElEdfX4dJgLdnbVEeI9iG2mQ=",
    "{PLAIN.B64}cMOkc3N3b3Jk",
    "{PLAIN.HEX}70c3a47373776f7264",
    "{SHA512-CRYPT.B64}JDYkWC9aRkp6by8yNndsdVJBbCRoZlFnL2U4TlBvb2RrRVdSa0RJamkwR2xkZFNRd2JWTklyRXBFSnoyb1"
    "JuQWQ3eWpGR0JBM0tVYU1LMGJOTTUvMnJaV2U0WkxvanFSWG9pREtzS0VTMQ==",
    "{PLAIN-MD5.B64}jhhDAzoPbuUuL2GKqOu+9A==",
    "{SMD5.HEX}22c09356a3bb343e00b95f592ff4c79b1da6333c",
    "{CRAM-MD5.B64}ferSnBlNSsPPXzN7I/o7mzLJ9LHX17H6JTnWbONo6Zc=",
    "{ARGON2ID.B64}JGFyZ29uMmlkJHY9MTkkbT02NTUzNix0PTMscD0xJDZ4d0UrRHlWQ29QU2VZeDFoZ2J6L0EkeGhDbmNJSUk2YU"
    "FFSERmYnF3alpvOGtzTkdmSHRvVGduby9nODBFWlFVaw==",
]

BY_OTHERS = [
    # crypt(3) of Debian: yescrypt, scrypt, SHA-1, extended DES
    "$y$j75$F5Jx5fExrKuPp53xLKQ..1$bwYVuyUbuLcejC2qyuNUGzrZCPh6ah9pprbZHFC64e/",
    "$7$BU..../....F5Jx5fExrKuPp53xLKQ..1$v5aRiYQHUvb.jc1e6hFmq1BYsAh2tFglNCm0V2Z0AE4",
    "{CRYPT}$sha1$100$abcdefgh$/yzmXooCMBof/0KrVKWnIJjb9req",
    "_J9..rasm3Era0lzguf2",
    # passlib's apr_md5_crypt
    "$apr1$mailfwxx$5iH7FQz/Y/MmsHocUdHOc.",
    # {SHA}, as htpasswd writes it
    "{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=",
]

PREFIXED = [stored for stored in (*BY_DOVEADM, *BY_OTHERS) if stored.startswith("{")]


@pytest.mark.parametrize("stored", [*BY_DOVEADM, *BY_OTHERS])
def test_theRightPasswordFits(stored):
    hashes.check(stored)
    assert hashes.verify(stored, PASSWORD)


@pytest.mark.parametrize("stored", [*BY_DOVEADM, *BY_OTHERS])
@pytest.mark.parametrize("password", ["", "Pässword", "password", "pässwo", "pässword\0", "\ud800", "x" * 2000])
def test_noOtherPasswordFits(stored, password):
    assert not hashes.verify(stored, password)


@pytest.mark.parametrize("stored", PREFIXED)
def test_schemeNamesAreWrittenInAnyCase(stored):
    scheme, _, value = stored.partition("}")
    assert hashes.verify(f"{scheme.lower()}}}{value}", PASSWORD)


@pytest.mark.parametrize(
    "stored", [stored.partition("}")[2] for stored in BY_DOVEADM if "}$" in stored and "PBKDF2" not in stored]
)
def test_cryptStringsNeedNoScheme(stored):
    assert hashes.verify(stored, PASSWORD)
    assert hashes.verify("{CRYPT}" + stored, PASSWORD)


# openssl passwd -apr1 -salt abcdefgh mailfw, openssl passwd -1 …, doveadm pw -s SHA512-CRYPT -r 1000
@pytest.mark.parametrize(
    "stored",
    [
        "$apr1$abcdefgh$bD.CH5NBnKuILjBO2Gcvl0",
        "$1$abcdefgh$9/qw5butusb3Cvots7amV.",
        "$6$rounds=1000$and1TPkUWqVXDusE$8jsRnPBspCjFeKyTTLtfngFqtsRNHVvIXfwuPAV/iWGxeJKezCeklQSXg29lsjiPzSgC1m6zNLsFSCZwk2pe11",
        "{SMD5}n2ah3s4w3lhLKKclLEGAZV0AbLc=",
    ],
)
def test_otherPasswordsOfOtherPrograms(stored):
    password = PASSWORD if "SMD5" in stored else "mailfw"
    assert hashes.verify(stored, password)
    assert not hashes.verify(stored, "mailFW")


def test_passlibStepsInWhereCryptIsMissing(monkeypatch):
    monkeypatch.setattr(crypts, "_crypt", None)
    for kind in ("SHA512-CRYPT}", "SHA256-CRYPT}", "MD5-CRYPT}", "DES-CRYPT}"):
        stored = next(stored for stored in BY_DOVEADM if kind in stored)
        assert hashes.verify(stored, PASSWORD)
        assert not hashes.verify(stored, "another")
    assert hashes.verify("_J9..rasm3Era0lzguf2", PASSWORD)
    with pytest.raises(UnusableHash, match=r"\{CRYPT\} is damaged"):
        hashes.verify(BY_OTHERS[0], PASSWORD)


def test_cryptThatFallsBackToAnotherKindIsNotBelieved(monkeypatch):
    monkeypatch.setattr(crypts, "_crypt", lambda password, setting: "ab" + "x" * 11)
    assert hashes.verify("$1$abcdefgh$9/qw5butusb3Cvots7amV.", "mailfw")


def test_bcryptCountsSeventyTwoOctets():
    import bcrypt

    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert hashes.verify(stored, "x" * 72)
    assert hashes.verify("{BLF-CRYPT}" + stored, "x" * 100)
    assert not hashes.verify(stored, "x" * 71)


@pytest.mark.parametrize("stored", ["", "!", "*", "!!", "*LK*", "!$1$abcdefgh$9/qw5butusb3Cvots7amV.", "{PLAIN}"])
@pytest.mark.parametrize("password", ["mailfw", "", "!", "*"])
def test_lockedAccountsFitNothing(stored, password):
    hashes.check(stored)
    assert not hashes.verify(stored, password)


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ("{OTP}sha1 1024 df7e023fa724e46b 7a2e6edd028fbc76", "{OTP}"),
        ("{whirlpool}secret", "{WHIRLPOOL}"),
        ("$foo$secret", "$foo$"),
        ("secret", "no {SCHEME}"),
        ("x", "no {SCHEME}"),
    ],
)
def test_unknownSchemesAreNamed(stored, named):
    for ask in (hashes.check, lambda stored: hashes.verify(stored, "mailfw")):
        with pytest.raises(UnknownScheme) as caught:
            ask(stored)
        assert named in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "stored",
    [
        "{SHA}secret!",
        "{SHA}c2VjcmV0",
        "{SHA256}",
        "{SSHA}c2VjcmV0",
        "{SHA.HEX}zz",
        "{SHA.ROT13}secret",
        "{PLAIN.B64}/w==",
        "{MD5-CRYPT}secret",
        "{PBKDF2}$1$salt$0$00",
        "{CRAM-MD5}00",
        "{SCRAM-SHA-256}4096,c2VjcmV0,AA==,AA==",
    ],
)
def test_damagedValuesAreRefusedByTheNameOfTheirScheme(stored):
    with pytest.raises(UnusableHash) as caught:
        hashes.check(stored)
    assert stored[: stored.index("}")].partition(".")[0] in str(caught.value)
    assert stored.partition("}")[2] not in str(caught.value) or not stored.partition("}")[2]


@pytest.mark.parametrize("stored", ["{ARGON2ID}$argon2id$damaged", "{BLF-CRYPT}$2y$05$damaged", "{CRYPT}$6$"])
def test_damagedCryptStringsFitNothing(stored):
    hashes.check(stored)
    try:
        assert not hashes.verify(stored, "mailfw")
    except UnusableHash as error:
        assert "damaged" in str(error)


@given(st.text(max_size=60))
def test_anyTextIsCheckedOrRefused(stored):
    try:
        hashes.check(stored)
    except UnusableHash:
        pass


# --- What we store ---


def test_newPasswordsAreArgon2id():
    stored = hashes.make(PASSWORD)
    assert stored.startswith("{ARGON2ID}$argon2id$")
    assert hashes.isStrong(stored)
    assert hashes.verify(stored, PASSWORD)
    assert stored != hashes.make(PASSWORD)


@pytest.mark.parametrize("stored", [*BY_DOVEADM, *BY_OTHERS])
def test_everythingElseIsWeaker(stored):
    assert hashes.isStrong(stored) == ("ARGON2ID" in stored)


@pytest.mark.parametrize("stored", ["$argon2id$x", "{CRYPT}$argon2id$x", "{argon2id}$argon2id$x", "{argon2id.b64}JGFy"])
def test_argon2idIsKnownInEveryDress(stored):
    assert hashes.isStrong(stored)


def test_passwordsAreComparedInEitherNormalForm():
    decomposed = unicodedata.normalize("NFD", PASSWORD)
    assert hashes.normalize(decomposed) == PASSWORD
    assert hashes.verify(hashes.make(PASSWORD), decomposed)
    assert hashes.verify("{PLAIN}" + decomposed, decomposed)


@pytest.mark.parametrize(
    ("password", "reason"), [("", "empty"), ("a\0b", "longer"), ("x" * 1025, "longer"), ("a\tb", "cannot be used")]
)
def test_passwordsThatNobodyCouldUseAreRefused(password, reason):
    with pytest.raises(ValueError, match=reason):
        hashes.normalize(password)


def test_verifiersAreThoseOfThePassword():
    made = hashes.makeVerifiers(PASSWORD)
    assert set(made) == {"SCRAM-SHA-256", "SCRAM-SHA-1"}
    for mechanism, text in made.items():
        assert Verifier.parse(mechanism, text).matches(mechanism, PASSWORD)
        assert hashes.verifierIn(f"{{{mechanism}}}{text}") == {mechanism: text}
    assert hashes.makeVerifiers("a\tb") == {}
    assert hashes.verifierIn("{PLAIN}x") == {}


def test_inventedValuesCostTheSameAndFitNothing():
    invented, real = hashes.invent(), hashes.make("mailfw")
    assert invented.split("$")[:4] == real.split("$")[:4]
    assert [len(part) for part in invented.split("$")] == [len(part) for part in real.split("$")]
    hashes.check(invented)
    assert not hashes.verify(invented, "mailfw")
