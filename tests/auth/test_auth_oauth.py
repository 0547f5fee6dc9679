"""`oauth:` – JWTs good and bad, whose keys are made here; introspection by a provider on loopback; what goes wrong."""

from __future__ import annotations

import base64
import hmac
import json
import time

import pytest
import pytest_twisted
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from pydantic import ValidationError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mailfw.app.selfsigned import ensureCertificate
from mailfw.auth import oauth
from mailfw.auth.claims import Demands
from mailfw.auth.jwt import ALGORITHMS, JWTs, KeyURL, parseKeys
from mailfw.auth.oauth import OAuthOptions
from mailfw.errors import AuthenticationFailed, AuthenticationUnavailable, TokenRefused
from mailfw.net.web import ANSWER_LIMIT, Web, WebTrouble, checkURL
from mailfw.testing.authenticator import TokenContract, resultOf
from mailfw.testing.fakes import START
from mailfw.values import Identity, PasswordCredentials, TokenCredentials

pytestmark = [
    pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning"),
    pytest.mark.filterwarnings("ignore:twisted.web.resource._UnsafeNoResource"),
]

ISSUER, AUDIENCE = "https://id.example.org", "mail.example.org"
MBRAIN = Identity("mbrain@example.org")
DISCOVERY = "https://id.example.org/.well-known/openid-configuration"

KEYS = {
    "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
    "ec": ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"}),
    "okp": OKPKey.generate_key("Ed25519", {"kid": "okp"}),
}
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})


def keySet(*keys):
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def claims(**changes):
    said = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(START) + 300, "email": "mbrain@example.org", "sub": "17"}
    said.update(changes)
    return {name: value for name, value in said.items() if value is not None}


def sign(said=None, key="rsa", algorithm="RS256", header=()):
    signer = KEYS[key] if isinstance(key, str) else key
    return jwt.encode({"alg": algorithm, "kid": signer.kid, **dict(header)}, said or claims(), signer, algorithms=[algorithm])


@define
class Context:
    """An IAuthContext with options."""

    data: str
    options: OAuthOptions
    reactor: object
    domains: tuple = ("example.org", "example.net")
    rehash: bool = True
    isInline: bool = True

    def now(self):
        return START + self.reactor.seconds()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "keys.json").write_bytes(keySet(*KEYS.values()))
    return tmp_path


def openSource(directory, on, **options):
    described = {"issuer": ISSUER, "audience": [AUDIENCE], "jwks": "keys.json", **options}
    return oauth.plugin.openAuthenticator("", Context(str(directory), OAuthOptions.model_validate(described), on))


@pytest.fixture
def source(directory, clock):
    return openSource(directory, clock)


def logIn(source, token, user=""):
    return resultOf(source.authenticate(TokenCredentials(user, token, "imap", "192.0.2.1")))


def refusal(source, token):
    with pytest.raises(TokenRefused) as caught:
        logIn(source, token)
    assert str(caught.value) == "authentication failed"
    return caught.value.reason


class TestContract(TokenContract):
    @pytest.fixture(autouse=True)
    def _directory(self, directory, clock):
        self.directory, self.clock = directory, clock

    def openAuthenticator(self):
        return openSource(self.directory, self.clock)

    def token(self, account):
        return sign(claims(email=account))

    def badTokens(self):
        return {
            "expired": sign(claims(exp=int(START) - 61)),
            "unsigned": jwt.encode({"alg": "none"}, claims(), None, algorithms=["none"]),
            "another's": sign(key=STRANGER),
            "for others": sign(claims(aud="elsewhere")),
        }


# --- JWTs ---


@pytest.mark.parametrize(
    ("key", "algorithm"), [("rsa", "RS256"), ("rsa", "RS512"), ("rsa", "PS256"), ("ec", "ES256"), ("okp", "EdDSA")]
)
def test_aTokenOfEachAlgorithm(source, key, algorithm):
    assert logIn(source, sign(key=key, algorithm=algorithm)) == MBRAIN


def test_onlyListedAlgorithms(directory, clock):
    source = openSource(directory, clock, algorithms=["ES256"])
    assert logIn(source, sign(key="ec", algorithm="ES256")) == MBRAIN
    assert refusal(source, sign()) == "not signed by a known key"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(START) - 60}, "expired"),
        ({"exp": None}, "iss, aud or exp is missing"),
        ({"exp": "tomorrow"}, "exp is wrong"),
        ({"exp": float("nan")}, "exp is wrong"),
        ({"nbf": int(START) + 61}, "nbf is wrong"),
        ({"iat": int(START) + 3600}, "iat is wrong"),
        ({"iss": "https://evil.example"}, "iss is wrong"),
        ({"iss": ISSUER + "/"}, "iss is wrong"),
        ({"iss": None}, "iss, aud or exp is missing"),
        ({"aud": "mail"}, "aud is wrong"),
        ({"aud": ["mail", "web"]}, "aud is wrong"),
        ({"aud": None}, "iss, aud or exp is missing"),
        ({"aud": []}, "aud is wrong"),
        ({"email": None}, "email is missing"),
        ({"email": ""}, "email is missing"),
        ({"email": ["mbrain@example.org"]}, "email is missing"),
        ({"email": "mbrain@example.com"}, "the user is of another domain"),
        ({"email": "m brain@example.org"}, "no account can have that name"),
        ({"email": "mbrain\0@example.org"}, "no account can have that name"),
        ({"email_verified": False}, "email is not verified"),
        ({"email_verified": "false"}, "email is not verified"),
    ],
)
def test_claimsThatAreNotEnough(source, changes, reason):
    assert refusal(source, sign(claims(**changes))) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(START) - 59},
        {"nbf": int(START) + 60},
        {"aud": ["web", AUDIENCE]},
        {"email": "MBrain@Example.ORG"},
        {"email": "mbrain"},
        {"email_verified": True},
    ],
)
def test_claimsThatAre(source, changes):
    assert logIn(source, sign(claims(**changes))) == MBRAIN


def test_aTokenEnds(source, clock):
    token = sign()
    clock.advance(359)
    assert logIn(source, token) == MBRAIN
    clock.advance(1)
    assert refusal(source, token) == "expired"


@pytest.mark.parametrize(
    ("scope", "isEnough"), [("mail", True), ("openid mail", True), (["mail"], True), ("email", False), (None, False), (7, False)]
)
@pytest.mark.parametrize("claim", ["scope", "scp"])
def test_scopes(directory, clock, claim, scope, isEnough):
    source = openSource(directory, clock, scope="mail", discovery=DISCOVERY)
    token = sign(claims(**{claim: scope}))
    if isEnough:
        assert logIn(source, token) == MBRAIN
        return
    with pytest.raises(TokenRefused) as caught:
        logIn(source, token)
    assert (caught.value.status, caught.value.scope, caught.value.discovery) == ("insufficient_scope", "mail", DISCOVERY)


def test_anotherClaimNamesTheUser(directory, clock):
    source = openSource(directory, clock, user_claim="preferred_username")
    assert logIn(source, sign(claims(preferred_username="anna@example.net", email=None))) == Identity("anna@example.net")


def segment(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def test_aPublicKeyIsNoSecret(source):
    """The classic confusion: an HMAC made with the public key that everybody knows."""
    signed = f"{segment({'alg': 'HS256', 'kid': 'rsa'})}.{segment(claims())}"
    for secret in (KEYS["rsa"].as_pem(private=False), keySet(KEYS["rsa"]), KEYS["rsa"].as_der(private=False)):
        forged = signed + "." + segment(hmac.digest(secret, signed.encode(), "sha256"))
        assert refusal(source, forged) == "not signed by a known key"


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": STRANGER.as_dict(private=False)},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/x"},
    ],
)
def test_keysThatATokenBringsAreNotUsed(source, header):
    assert refusal(source, sign(key=STRANGER, header=header)) == "not signed by a known key"


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt"])
def test_aTokenForSomethingElse(source, kind):
    assert refusal(source, sign(header={"typ": kind})) == "not an access token"


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+JWT"])
def test_kindsOfAccessTokens(source, kind):
    assert logIn(source, sign(header={"typ": kind})) == MBRAIN


def test_whatIsCriticalMustBeUnderstood(source):
    head, _, rest = sign().partition(".")
    assert refusal(source, segment({"alg": "RS256", "kid": "rsa", "crit": ["x"], "x": 1}) + "." + rest) != ""
    assert head


def test_theSignatureCoversEveryOctet(source):
    token = sign()
    for place in range(0, len(token) - 2, 7):
        other = "A" if token[place] != "A" else "B"
        refusal(source, token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "e30.e30.",
        "null.e30.x",
        "[].e30.x",
        segment(b'{"alg":' + b"[" * 6000) + ".e30.x",
        segment(b'{"alg":"RS256","kid":' + b"9" * 5000 + b"}") + ".e30.x",
        segment({"alg": ["RS256"]}) + ".e30.x",
        segment({"alg": None, "kid": {}}) + ".e30.x",
        segment({"alg": "RS256", "b64": False, "crit": ["b64"]}) + ".e30.x",
        "ü.ü.ü",
        "a b.c.d",
        "\ud800.a.b",
        "x" * 100_000,
        "x.y.z" * 20_000,
    ],
    ids=lambda token: ascii(token[:12]),
)
def test_hostileTokens(source, token):
    refusal(source, token)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}")))
def test_anyTextIsRefused(token):
    jwts = JWTs(Known(), ALGORITHMS)
    source = oauth.OAuth(OAuthOptions(), ("example.org",), lambda: START, jwts, None)
    refusal(source, token)


class Known:
    async def keys(self, keyId):
        return list(KEYS.values())


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "email", "scope", "sub", "jti"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3),
        ),
    )
)
def test_anyClaimsAreJudgedOrRefused(said):
    demands = Demands(ISSUER, (AUDIENCE,), "mail")
    for isSelfContained in (True, False):
        with pytest.raises(TokenRefused):
            demands.user(said, START, isSelfContained)


# --- Keys ---


def test_keysThatAreForSomethingElseArePassedOver():
    known = [key.as_dict(private=False) for key in KEYS.values()]
    odd = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "AKP", "alg": "ML-DSA-44"},
        {**known[0], "use": "enc"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        "key",
        None,
    ]
    assert [key.kid for key in parseKeys(json.dumps({"keys": odd + known}).encode())] == ["rsa", "ec", "okp"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA"}]}', b"[" * 9999]
)
def test_whatIsNoKeySet(content):
    with pytest.raises(ValueError, match="key"):
        parseKeys(content)


def test_aFileOfKeysIsReadAgain(directory, clock, logged):
    source = openSource(directory, clock)
    newer = RSAKey.generate_key(2048, {"kid": "newer"})
    assert refusal(source, sign(key=newer)) == "not signed by a known key"
    (directory / "keys.json").write_bytes(keySet(newer))
    assert logIn(source, sign(key=newer)) == MBRAIN
    assert refusal(source, sign()) == "not signed by a known key"
    (directory / "keys.json").write_bytes(b"half a fi")
    assert logIn(source, sign(key=newer)) == MBRAIN
    (directory / "keys.json").unlink()
    assert logIn(source, sign(key=newer)) == MBRAIN
    assert any("its last content holds" in line for line in logged())


def test_aKeyWithoutIdMayBeAnyTokens(directory, clock):
    bare = RSAKey.generate_key(2048)
    (directory / "keys.json").write_bytes(keySet(KEYS["ec"], bare))
    assert logIn(openSource(directory, clock), sign(key=bare, header={"kid": "whatever"})) == MBRAIN


class FakeWeb:
    """Answers with `content`, or not at all."""

    def __init__(self, *keys):
        self.content = keySet(*keys)
        self.asked = 0

    async def get(self, url):
        self.asked += 1
        if not self.content:
            raise WebTrouble("away")
        return self.content


def test_keysAreFetchedHourlyAndForANewId(clock):
    old, new = KEYS["rsa"], RSAKey.generate_key(2048, {"kid": "new"})
    web = FakeWeb(old)
    source = KeyURL("https://id.example.org/keys", web, clock.seconds)

    def ids(wanted):
        return [key.kid for key in resultOf(source.keys(wanted))]

    assert (ids("rsa"), ids("rsa"), ids(None), web.asked) == (["rsa"], ["rsa"], ["rsa"], 1)
    web.content = keySet(new)
    assert (ids("new"), web.asked) == (["rsa"], 1)  # not twice a minute, whoever asks
    clock.advance(60)
    assert (ids("new"), web.asked) == (["new"], 2)
    clock.advance(3599)
    assert (ids("new"), web.asked) == (["new"], 2)
    clock.advance(1)
    assert (ids("new"), web.asked) == (["new"], 3)


def test_aProviderThatIsAway(clock, logged):
    web = FakeWeb()
    web.content = b""
    source = KeyURL("https://id.example.org/keys", web, clock.seconds)
    for _ in range(5):
        with pytest.raises(AuthenticationUnavailable):
            resultOf(source.keys("rsa"))
    assert (web.asked, len(logged())) == (1, 1)
    web.content = keySet(KEYS["rsa"])
    clock.advance(60)
    assert len(resultOf(source.keys("rsa"))) == 1
    web.content = b""
    clock.advance(86399)
    assert len(resultOf(source.keys("rsa"))) == 1
    clock.advance(1)
    with pytest.raises(AuthenticationUnavailable):
        resultOf(source.keys("rsa"))


# --- A provider on loopback ---


class Introspect(Resource):
    """RFC 7662: knows tokens, and its one client."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.tokens, self.asked, self.code, self.raw, self.held = {}, [], 200, None, None

    def render_POST(self, request):
        token = request.args[b"token"][0].decode()
        self.asked.append((token, request.getUser(), request.getPassword()))
        request.setResponseCode(self.code)
        request.setHeader(b"content-type", b"application/json")
        body = self.raw if self.raw is not None else json.dumps({"active": False, **self.tokens.get(token, {})}).encode()
        if self.held is not None:
            self.held.append(lambda: (request.write(body), request.finish()))
            return NOT_DONE_YET
        return body


class Endless(Resource):
    """An answer that goes on and on, or says nothing more."""

    isLeaf = True

    def __init__(self, isTalking):
        super().__init__()
        self.isTalking = isTalking

    def render_GET(self, request):
        request.write(b" " * (2 * ANSWER_LIMIT if self.isTalking else 1))
        return NOT_DONE_YET


class Document(Resource):
    isLeaf = True

    def __init__(self, content):
        super().__init__()
        self.content = content

    def render_GET(self, request):
        if self.content is None:
            request.redirect(b"/keys")
            return b""
        return self.content


@pytest.fixture
def provider():
    """A server with an introspection endpoint and keys; `provider.url`."""
    root = Resource()
    site = Site(root)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    provider = Introspect()
    provider.url = f"http://127.0.0.1:{port.getHost().port}"
    for name, resource in (
        (b"introspect", provider),
        (b"keys", Document(keySet(*KEYS.values()))),
        (b"moved", Document(None)),
        (b"endless", Endless(True)),
        (b"silent", Endless(False)),
    ):
        root.putChild(name, resource)
    provider.connections = 0
    build = site.buildProtocol

    def count(address):
        provider.connections += 1
        return build(address)

    site.buildProtocol = count
    yield provider
    pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(Deferred.fromCoroutine(settle()))


async def settle():
    """Let both sides see that connections are gone."""
    for _ in range(20):
        turn = Deferred()
        reactor.callLater(0, turn.callback, None)
        await turn


@define
class Live:
    """The real reactor, whose time begins now, at START."""

    began: float = field(factory=reactor.seconds)

    def __getattr__(self, name):
        return getattr(reactor, name)

    def seconds(self):
        return reactor.seconds() - self.began


def introspecting(provider, directory, **options):
    described = {"introspection": provider.url + "/introspect", "client_id": "ma:il", "client_secret": "s ü", **options}
    return oauth.plugin.openAuthenticator("", Context(str(directory), OAuthOptions.model_validate(described), Live()))


async def ask(source, token):
    return await source.authenticate(TokenCredentials("", token, "imap", "192.0.2.1"))


@pytest_twisted.ensureDeferred
async def test_introspection(provider, directory):
    source = introspecting(provider, directory)
    provider.tokens["good"] = {"active": True, "email": "mbrain@example.org", "exp": int(START) + 300}
    provider.tokens["ended"] = {"active": True, "email": "mbrain@example.org", "exp": int(START) - 61}
    provider.tokens["nobody"] = {"active": True}
    for _ in range(3):
        assert await ask(source, "good") == MBRAIN
    assert provider.asked == [("good", b"ma%3Ail", b"s%20%C3%BC")]
    for token, reason in (("bad", "not active"), ("ended", "expired"), ("nobody", "email is missing")):
        with pytest.raises(TokenRefused) as caught:
            await ask(source, token)
        assert caught.value.reason == reason


@pytest_twisted.ensureDeferred
async def test_introspectionIsAskedForIssuerAudienceAndScope(provider, directory):
    source = introspecting(provider, directory, issuer=ISSUER, audience=[AUDIENCE], scope="mail")
    good = {"active": True, "email": "mbrain@example.org", "aud": AUDIENCE, "scope": "mail"}
    provider.tokens.update(
        good=good,
        issued={**good, "iss": ISSUER},
        anothers={**good, "iss": "https://evil.example"},
        forOthers={**good, "aud": "web"},
        forNobody={**good, "aud": None},
        small={**good, "scope": "web"},
    )
    assert await ask(source, "good") == await ask(source, "issued") == MBRAIN
    for token in ("anothers", "forOthers", "forNobody", "small"):
        with pytest.raises(TokenRefused):
            await ask(source, token)


@pytest_twisted.ensureDeferred
async def test_whatIsRememberedEndsWithTheToken(provider, directory):
    context = Context(str(directory), OAuthOptions.model_validate({"introspection": provider.url + "/introspect"}), Live())
    source = oauth.plugin.openAuthenticator("", context)
    provider.tokens["good"] = {"active": True, "email": "mbrain@example.org", "exp": START + 200}
    provider.tokens["lasting"] = {"active": True, "email": "mbrain@example.org"}
    for seconds, asked in ((0, 1), (150, 1), (55, 2), (10, 3)):
        context.reactor.began -= seconds
        assert await ask(source, "good") == MBRAIN
        assert len(provider.asked) == asked
    provider.asked.clear()
    for seconds, asked in ((0, 1), (299, 1), (2, 2)):
        context.reactor.began -= seconds
        assert await ask(source, "lasting") == MBRAIN
        assert len(provider.asked) == asked
    provider.tokens.clear()
    context.reactor.began -= 301
    with pytest.raises(TokenRefused):
        await ask(source, "lasting")
    assert all(b"lasting" not in repr(each).encode() for each in vars(source._introspection)["_known"].items())


@pytest_twisted.ensureDeferred
async def test_thoseWhoComeAtOnceAskOnce(provider, directory):
    source = introspecting(provider, directory)
    provider.tokens["good"] = {"active": True, "email": "mbrain@example.org"}
    provider.held = []
    waiting = [Deferred.fromCoroutine(ask(source, "good")) for _ in range(5)]
    while not provider.held:
        await settle()
    for finish in provider.held:
        finish()
    assert await gatherResults(waiting) == [MBRAIN] * 5
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("code", "raw"),
    [(401, b"{}"), (500, b""), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"active": "yes"}'), (200, b"[" * 9999)],
)
@pytest_twisted.ensureDeferred
async def test_aProviderThatTalksNonsense(provider, directory, logged, code, raw):
    provider.code, provider.raw = code, raw
    with pytest.raises(AuthenticationUnavailable):
        await ask(introspecting(provider, directory), "good")
    assert logged()[0].startswith("tokens cannot be checked: ")
    assert "good" not in "".join(logged())


@pytest_twisted.ensureDeferred
async def test_aProviderThatHangs(provider, directory):
    provider.held = []
    began = time.monotonic()
    with pytest.raises(AuthenticationUnavailable):
        await ask(introspecting(provider, directory, timeout=0.2), "good")
    assert time.monotonic() - began < 5
    await settle()
    assert provider.held


@pytest_twisted.ensureDeferred
async def test_nobodyListens(directory):
    port = reactor.listenTCP(0, Site(Resource()), interface="127.0.0.1")
    number = port.getHost().port
    await port.stopListening()
    options = OAuthOptions.model_validate({"introspection": f"http://127.0.0.1:{number}/"})
    with pytest.raises(AuthenticationUnavailable):
        await ask(oauth.plugin.openAuthenticator("", Context(str(directory), options, Live())), "good")


@pytest.mark.parametrize("path", ["endless", "silent", "moved", "nothing"])
@pytest_twisted.ensureDeferred
async def test_answersThatAreNone(provider, path):
    with pytest.raises(WebTrouble):
        await Web(reactor, 0.3).get(f"{provider.url}/{path}")


@pytest_twisted.ensureDeferred
async def test_keysFromAURL(provider, directory):
    options = {"issuer": ISSUER, "audience": [AUDIENCE], "jwks": provider.url + "/keys"}
    source = oauth.plugin.openAuthenticator("", Context(str(directory), OAuthOptions.model_validate(options), Live()))
    both = [
        Deferred.fromCoroutine(ask(source, sign(key=key, algorithm=name))) for key, name in (("rsa", "RS256"), ("ec", "ES256"))
    ]
    assert await gatherResults(both) == [MBRAIN, MBRAIN]
    assert provider.connections == 1


@pytest_twisted.ensureDeferred
async def test_bothWaysTogether(provider, directory):
    source = introspecting(provider, directory, issuer=ISSUER, audience=[AUDIENCE], jwks="keys.json")
    provider.tokens["opaque"] = {"active": True, "email": "mbrain@example.org", "aud": AUDIENCE}
    assert await ask(source, "opaque") == await ask(source, sign()) == MBRAIN
    assert [asked[0] for asked in provider.asked] == ["opaque"]


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")
@pytest_twisted.ensureDeferred
async def test_httpsIsVerified(tmp_path):
    ensureCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), "localhost")
    pem = (tmp_path / "cert.pem").read_bytes()
    root = Resource()
    root.putChild(b"keys", Document(b"{}"))
    tls = PrivateCertificate.loadPEM(pem + (tmp_path / "key.pem").read_bytes()).options()
    port = reactor.listenSSL(0, Site(root), tls, interface="127.0.0.1")
    url = f"https://localhost:{port.getHost().port}/keys"
    try:
        assert await Web(reactor, 5, [pem]).get(url) == b"{}"
        with pytest.raises(WebTrouble):
            await Web(reactor, 5).get(url)
        with pytest.raises(WebTrouble):
            await Web(reactor, 5, [pem]).get(url.replace("localhost", "127.0.0.2"))
    finally:
        await port.stopListening()
        await settle()


# --- Configuration ---


@pytest.mark.parametrize("url", ["https://id.example.org/keys", "http://localhost/", "http://127.0.0.1:8/", "http://[::1]/x?y"])
def test_urlsThatAreTaken(url):
    assert checkURL(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id.example.org",
        "ftp://id.example.org",
        "https://",
        "http://id.example.org/",
        "http://127.0.0.1.example.org/",
        "https://user@id.example.org/",
        "https://id.example.org/#x",
        "https://id.example.org:x/",
        "https://ïd.example.org/",
    ],
)
def test_urlsThatAreNot(url):
    with pytest.raises(ValueError):
        checkURL(url)


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": ISSUER},
        {"jwks": "keys.json"},
        {"jwks": "keys.json", "issuer": ISSUER},
        {"jwks": "http://id.example.org/keys", "issuer": ISSUER, "audience": ["x"]},
        {"introspection": "keys.json"},
        {"introspection": "https://x.example", "algorithms": ["HS256"]},
        {"introspection": "https://x.example", "algorithms": ["none"]},
        {"introspection": "https://x.example", "algorithms": []},
        {"introspection": "https://x.example", "timeout": 0},
        {"introspection": "https://x.example", "audience": "x"},
        {"introspection": "https://x.example", "isuer": "x"},
    ],
)
def test_optionsThatMakeNoSense(options):
    with pytest.raises(ValidationError):
        OAuthOptions.model_validate(options)


@pytest.mark.parametrize(
    ("argument", "options", "text"),
    [
        ("", {}, "needs jwks"),
        ("x", {"introspection": "https://x.example"}, "takes no argument"),
        ("", {"issuer": ISSUER, "audience": ["x"], "jwks": "nothing.json"}, "cannot be read"),
        ("", {"issuer": ISSUER, "audience": ["x"], "jwks": "bad.json"}, "not a set"),
        ("", {"introspection": "https://x.example", "authorities": "bad.json"}, "no PEM certificate"),
        ("", {"introspection": "https://x.example", "authorities": "nothing.pem"}, "cannot be read"),
    ],
)
def test_whatCannotBeOpened(directory, clock, argument, options, text):
    (directory / "bad.json").write_bytes(b"bad")
    with pytest.raises(ValueError, match=text):
        oauth.plugin.openAuthenticator(argument, Context(str(directory), OAuthOptions.model_validate(options), clock))


def test_theSecretIsNotShown():
    assert "hush" not in repr(OAuthOptions.model_validate({"introspection": "https://x.example", "client_secret": "hush"}))


def test_passwordsAreNotForIt(source):
    with pytest.raises(AuthenticationFailed):
        resultOf(source.authenticate(PasswordCredentials("mbrain", "mailfw")))
