"""What an administrator is told about a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from attrs import fields
from pydantic import BaseModel, ConfigDict, Field
from zope.interface import implementer

from mailfw.app.catalogue import BUILT_IN
from mailfw.app.configuration import ConfigurationError, Source
from mailfw.app.sections import Auth, Configuration, LimitsSection, Log, Manhole
from mailfw.app.selfsigned import ensureCertificate
from mailfw.delivery.schedule import Schedule
from mailfw.imap.settings import Settings
from mailfw.interfaces import IMailStorePlugin, IOptions
from mailfw.net.limits import Limits
from mailfw.plugins import Plugins
from mailfw.values import FIRST_MAILBOXES, Create, SpecialUse

SMALL = 'hostname = "mail.example.org"\ndomains = ["example.org"]\n'
OPTIONS: Mapping[tuple[str | int, ...], Any] = {}


class CellarOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth: int = Field(1, gt=0)
    owner: str = ""


@implementer(IMailStorePlugin, IOptions)
class Cellar:
    prefix = "cellar"
    model = CellarOptions

    def openStore(self, argument: str, context: Any) -> Any:
        return context.options


def plugins() -> Plugins:
    nowhere = ModuleType("nowhere")
    nowhere.__path__ = []
    cellar = SimpleNamespace(name="cellar", dist=None, load=Cellar)
    return Plugins(BUILT_IN, nowhere, lambda: [cellar])


def read(directory: Path, text: str, options: Mapping[tuple[str | int, ...], Any] = OPTIONS) -> Configuration:
    file = directory / "mailfw.toml"
    file.write_text(text)
    return Source(str(file), options).read(plugins())


def mistakes(directory: Path, text: str, options: Mapping[tuple[str | int, ...], Any] = OPTIONS) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(directory, text, options)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_everyMistakeIsToldInOneRunWithItsLine(tmp_path: Path) -> None:
    text = """hostnam = "mail.example.org"
domains = ["example.org", "exa mple"]
data = 5
store = "sqlit:mail"
certificate = "x"

[auth]
sources = ["acounts:"]
plaintext = "lopback"
rehash = "yes"
domains = 3

[tls]
certificate = "/nonexistent/cert.pem"

[[listen]]
service = "smpt"
endpoint = "tpc:25"

[addresses]
postmaster = "nobody"
tag_delimter = "+"

[log]
format = "xml"
[limits]
message_size = "50 MIBB"
recipients = 0
comand_timeout = "1s"
data_timeout = "soon"

[queue]
retry = []
[plugin.celar]
x = 1
"""
    assert mistakes(tmp_path, text) == [
        "line 1: hostname is missing",
        'line 1: unknown key "hostnam" – did you mean "hostname"?',
        'line 2: domains: "exa mple" is no domain name',
        "line 3: data must be a string",
        'line 4: store: there is no store "sqlit" – did you mean "sqlite"?',
        'line 5: unknown key "certificate" – it belongs in [tls]',
        'line 8: auth.sources: there is no authenticator "acounts" – did you mean "accounts"?',
        'line 9: auth.plaintext: "lopback" is none of "loopback", "never" or "always"',
        "line 10: auth.rehash must be true or false",
        'line 11: unknown key "domains" – it belongs above the first [section]',
        "line 14: tls.certificate: there is no /nonexistent/cert.pem",
        'line 17: listen.service: there is no service "smpt" – did you mean "smtp"?',
        'line 18: listen.endpoint: there is no endpoint type "tpc" – did you mean "tcp"?',
        "line 21: addresses.postmaster: 'nobody' is not an address",
        'line 22: unknown key "tag_delimter" – did you mean "tag_delimiter"?',
        'line 25: log.format: "xml" is none of "text" or "json"',
        'line 27: limits.message_size: "50 MIBB" is no size: write "50 MiB", "10 MB" or a number of octets',
        "line 28: limits.recipients must be above 0",
        'line 29: unknown key "comand_timeout" – did you mean "command_timeout"?',
        'line 30: limits.data_timeout: "soon" is no time: write "90s", "15m", "4h", "5d" or a number of seconds',
        'line 33: queue.retry: a retry schedule has at least one interval: ["5m", "15m*16", "1h"]',
        'line 34: there is no plugin "celar" – did you mean "cellar"?',
    ]


def test_aFileThatIsNoTOMLSaysWhere(tmp_path: Path) -> None:
    [mistake] = mistakes(tmp_path, 'hostname = "a"\ndomains = [\n')
    assert mistake.startswith(("at its end: is not TOML:", "line 3: is not TOML:"))
    [mistake] = mistakes(tmp_path, 'hostname = "a"\nhostname = "b"\n')
    assert mistake.startswith("line 2: is not TOML: Cannot overwrite a value")


def test_aFileThatCannotBeReadIsNamed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothere\.toml: cannot be read: No such file or directory"):
        Source(str(tmp_path / "nothere.toml")).read(plugins())
    (tmp_path / "mailfw.toml").write_bytes(b'hostname = "\xff"\n')
    with pytest.raises(ConfigurationError, match="is not UTF-8 at octet 12"):
        Source(str(tmp_path / "mailfw.toml")).read(plugins())


def test_whatIsOnlyWrongTogetherIsFoundBesideOtherMistakes(tmp_path: Path) -> None:
    text = SMALL + (
        'store = "nothing:"\n[auth]\nsources = ["accounts:", "passwd:users"]\n'
        '[addresses.catch_all]\n"example.net" = "x@example.org"\n'
        '[[listen]]\nservice = "smtp"\nendpoint = "tcp:25"\n[[listen]]\nservice = "lmtp"\nendpoint = "tcp:25"\n'
    )
    assert mistakes(tmp_path, text + "[manhole]\nauthorized_keys = 3\n") == [
        'line 3: store: there is no store "nothing"',
        "line 5: auth.sources: passwd:users: there is no file /var/lib/mailfw/users that can be read",
        'line 7: catch_all: "example.net" is not among domains',
        "line 13: lmtp: 0.0.0.0:25 is already taken by smtp",
        "line 15: manhole.authorized_keys must be a string",
    ]


def test_aCertificateThatDoesNotFitItsKeyIsFound(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ensureCertificate(str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"), "mail.example.org")
    text = SMALL + f'data = "{tmp_path}"\n[tls]\ncertificate = "a.pem"\nkey = "b.key"\n'
    assert mistakes(tmp_path, text) == [
        f"line 5: tls: the key in {tmp_path}/b.key does not belong to the certificate in {tmp_path}/a.pem"
    ]
    assert read(tmp_path, text.replace("b.key", "a.key")).tls is not None


def test_optionsOverrideTheFileAndAreNamedInMistakes(tmp_path: Path) -> None:
    options = {("store",): "memory:", ("auth", "sources"): ["cred:memory:a:b"], ("domains",): ["example.net"]}
    configuration = read(tmp_path, SMALL + "[auth]\nrehash = false\n", options)
    assert (configuration.store, configuration.domains) == ("memory:", ["example.net"])
    assert (configuration.auth.sources, configuration.auth.rehash) == (["cred:memory:a:b"], False)
    assert mistakes(tmp_path, SMALL, {("domains",): ["a b"], ("auth", "sources"): ["x:"]}) == [
        '--auth: auth.sources: there is no authenticator "x"',
        '--domain: domains: "a b" is no domain name',
    ]


def test_dataStartsWhereTheFileIsAndEverythingElseInData(tmp_path: Path) -> None:
    configuration = read(tmp_path, SMALL + 'data = "here"\n')
    assert configuration.data == str(tmp_path / "here")
    assert configuration.path("keys") == str(tmp_path / "here" / "keys")
    assert configuration.path("/etc/keys") == "/etc/keys"
    assert read(tmp_path, SMALL).data == "/var/lib/mailfw"


def test_limitsAreThoseOfNetUnderTheSameNames(tmp_path: Path) -> None:
    assert set(LimitsSection.model_fields) == {each.name for each in fields(Limits)}
    text = SMALL + '[limits]\nmessage_size = "10 MB"\nidle_timeout = "30m"\nloopback_exempt = false\nbad_commands = 3\n'
    assert read(tmp_path, text).netLimits() == Limits(
        messageSize=10_000_000, idleTimeout=1800.0, loopbackExempt=False, badCommands=3
    )
    assert read(tmp_path, SMALL).netLimits() == Limits()
    silence = read(tmp_path, SMALL + '[limits]\npop3_idle_timeout = "11m"\n').netLimits()
    assert silence.pop3IdleTimeout == 660.0, "in the file POP3 is one word, too"


def test_aListenerWithoutEndpointIsAtItsStandardPort(tmp_path: Path) -> None:
    text = SMALL + '[[listen]]\nservice = "imaps"\n[[listen]]\nservice = "manhole"\n[[listen]]\nservice = "metrics"\n'
    assert [listen.endpoint for listen in read(tmp_path, text).listen] == ["993", "localhost:1022", "localhost:9025"]


def test_hooksAreCheckedWithTheRest(tmp_path: Path) -> None:
    text = (
        SMALL
        + '[[hook]]\nstage = "rcpt_too"\nplugin = "python:a:b"\n'
        + '[[hook]]\nplugin = "python:a:b"\n'
        + '[[hook]]\nstage = ["connect", "data"]\nplugin = "pyton:a:b"\non_failure = "ignore"\ndeadline = "0s"\n'
    )
    found = [mistake.partition(": ")[2] for mistake in mistakes(tmp_path, text)]
    assert 'hook.stage: there is no stage "rcpt_too" – did you mean "rcpt_to"' in "\n".join(found)
    assert any("say at which stage" in mistake for mistake in found)
    assert any('"pyton" – did you mean "python"' in mistake for mistake in found)
    assert any("on_failure" in mistake for mistake in found) and any("deadline" in mistake for mistake in found)
    good = read(tmp_path, SMALL + '[[hook]]\nstage = "data"\nplugin = "python:a:b"\ndeadline = "3s"\n')
    assert (good.hook[0].stage, good.hook[0].deadline, good.hook[0].onFailure) == (["data"], 3.0, "tempfail")


def test_modulesOfFunctionsAreCheckedWithTheRest(tmp_path: Path) -> None:
    modules = 'modules = ["own.tickets", "tickets.py!", "email.own"]\n'
    text = SMALL + "[code]\n" + modules + 'timeout = "0s"\nconcurrency = 0\nretry = ["soon"]\n'
    found = "\n".join(mistakes(tmp_path, text))
    assert '"tickets.py!" is no module: write "tickets"' in found
    assert '"email.own" is the name of a module that others need' in found
    assert all(word in found for word in ("code.timeout", "code.concurrency", '"soon" is no interval'))
    assert "own.tickets" not in found


def test_mailThatLeavesIsCheckedWithTheRest(tmp_path: Path) -> None:
    text = (
        SMALL
        + """[queue]
retry = ["5m", "x"]
warn_afer = "4h"
[relay]
port = 70000
smarthost = "smtp://"
networks = ["10.0.0.1/8"]
[dns]
servers = ["ns.example.org"]
[[route]]
domain = "lists.example.net"
via = "lmpt:unix:/run/lmtp"
[[route]]
domain = ".example.net"
via = "lmtp:unix:run"
retry = ["1x"]
[[route]]
domain = "example.org"
via = "discard:"
[[route]]
domain = "a b"
via = "pipe:program"
[[route]]
domain = "example.com"
via = "mx:"
giveup_after = "1d"
"""
    )
    assert mistakes(tmp_path, text) == [
        'line 4: queue.retry: "x" is no interval: write "5m", or "15m*16" for sixteen of them',
        'line 5: unknown key "warn_afer" – did you mean "warn_after"?',
        "line 7: relay.port must be below 65536",
        'line 8: relay.smarthost: "smtp://" is no smart host: write "smtp://user@host:587"',
        'line 9: relay.networks: "10.0.0.1/8" is no network: 10.0.0.1/8 has host bits set; write "192.0.2.0/24"',
        'line 11: dns.servers: "ns.example.org" is no name server: write "192.0.2.1" or "127.0.0.1:5353"',
        'line 14: route.via: there is no route "lmpt" – did you mean "lmtp"?',
        'line 17: route.via: "unix:run" is no host: write "host.example:24", "[2001:db8::1]:24" or "unix:/path"',
        'line 18: route.retry: "1x" is no interval: write "5m", or "15m*16" for sixteen of them',
        'line 23: route.domain: "a b" is no domain name',
        'line 24: route.via: a program is named by its whole path: "pipe:/usr/bin/program ${recipient}"',
        'line 28: unknown key "giveup_after" – did you mean "give_up_after"?',
    ]


def test_whatIsOnlyWrongTogetherAboutMailThatLeaves(tmp_path: Path) -> None:
    text = SMALL + '[relay]\nsmarthost = "smtp://me@mail.example.net"\n'
    routes = '[[route]]\ndomain = "example.org"\nvia = "discard:"\n' + '[[route]]\ndomain = "example.net"\nvia = "mx:"\n' * 2
    assert mistakes(tmp_path, text + routes) == [
        "line 4: relay.smarthost: there is a user and no password: say smarthost_password",
        'line 6: route.domain: "example.org" is among domains, whose mail ends here',
        'line 12: route.domain: there is a route for "example.net" already',
    ]
    [mistake] = mistakes(tmp_path, text.replace("me@", "") + 'smarthost_password = "x"\n')
    assert mistake == 'line 5: relay.smarthost_password: for whom? write smarthost = "smtp://user@host:587"'


def test_aRouteHasItsOwnPatienceWhereItSaysSo(tmp_path: Path) -> None:
    text = '[queue]\nwarn_after = "1h"\n[[route]]\ndomain = ".example.net"\nvia = "lmtp:h"\nretry = ["1m"]\n'
    text += 'give_up_after = "1d"\n'
    configuration = read(tmp_path, SMALL + text + '[[route]]\ndomain = "example.com"\nvia = "smtp:h"\n')
    one, other = configuration.route
    general = configuration.queue.schedule()
    assert general == Schedule(warnAfter=3600.0)
    assert one.schedule(general) == Schedule(((60.0, 1),), 3600.0, 86400.0)
    assert other.schedule(general) == general
    assert one.isAccepting, "mail ends there, so anybody may send there"
    assert not other.isAccepting, "mail only passes through, so this is no open relay to them"


def test_aPluginsOwnOptionsAreCheckedWithTheRest(tmp_path: Path) -> None:
    text = SMALL + 'store = "cellar:left"\n[plugin.cellar]\ndepth = 0\nonwer = "me"\n'
    assert mistakes(tmp_path, text) == [
        "line 5: plugin.cellar.depth must be above 0",
        'line 6: unknown key "onwer" – did you mean "owner"?',
    ]
    assert mistakes(tmp_path, SMALL + "[plugin.sqlite]\nx = 1\n") == ['line 3: the plugin "sqlite" has no options']
    assert read(tmp_path, text.replace("= 0", "= 4").replace("onwer", "owner")).plugin == {"cellar": {"depth": 4, "owner": "me"}}


def test_developmentModeIsOnLoopbackAndComplete() -> None:
    configuration = Source(directory="/somewhere").read(plugins())
    assert configuration.data == "/somewhere/mailfw-data"
    assert {listen.service: listen.endpoint for listen in configuration.listen} == {
        "smtp": "localhost:1025",
        "submission": "localhost:1587",
        "submissions": "localhost:1465",
        "lmtp": "localhost:1024",
        "pop3": "localhost:1110",
        "pop3s": "localhost:1995",
        "imap": "localhost:1143",
        "imaps": "localhost:1993",
        "manhole": "localhost:1022",
        "metrics": "localhost:9025",
    }
    assert all(binding.isLoopback for listen in configuration.listen for binding in listen.bindings())


def test_theExampleForProductionIsRightButForItsCertificates(tmp_path: Path) -> None:
    example = (Path(__file__).parent.parent.parent / "etc" / "mailfw.toml").read_text()
    ensureCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), "mail.example.org")
    configuration = read(tmp_path, example.replace("/etc/mailfw/", f"{tmp_path}/"))
    assert [(listen.service, listen.endpoint) for listen in configuration.listen] == [
        ("smtp", "25"),
        ("submissions", "465"),
        ("submission", "587"),
        ("pop3", "110"),
        ("pop3s", "995"),
        ("imap", "143"),
        ("imaps", "993"),
    ]


def test_whatTheExampleShowsCommentedOutIsRightToo(tmp_path: Path) -> None:
    example = (Path(__file__).parent.parent.parent / "etc" / "mailfw.toml").read_text()
    ensureCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), "mail.example.org")
    whole = re.sub(r"^# (?=\w+ *= |\[\[)", "", example.replace("/etc/mailfw/", f"{tmp_path}/"), flags=re.MULTILINE)
    configuration = read(tmp_path, whole)
    assert [listen.service for listen in configuration.listen[-2:]] == ["manhole", "metrics"]
    assert configuration.addresses.catchAll == {"example.org": "jsmith@example.org"}
    assert (configuration.auth, configuration.log, configuration.manhole) == (Auth(), Log(), Manhole())
    assert configuration.netLimits() == Limits()


def test_whatIMAPIsTold(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL).imap.settings() == Settings()
    configuration = read(
        tmp_path,
        SMALL
        + '[imap]\nid = { name = "ours" }\nwithout = ["unauthenticate", "AUTH=LOGIN"]\nworkarounds = []\n'
        + '[imap.accounts."JSmith@example.org"]\nwithout = ["IMAP4rev2"]\n',
    )
    settings = configuration.imap.settings()
    assert (settings.identification, settings.workarounds) == ((("name", "ours"),), frozenset())
    assert settings.missing() == {"UNAUTHENTICATE", "AUTH=LOGIN"}
    assert settings.missing("jsmith@example.org") == {"UNAUTHENTICATE", "AUTH=LOGIN", "IMAP4REV2"}
    assert mistakes(
        tmp_path,
        SMALL + '[imap]\nid = { x = "' + "y" * 2000 + '" }\nwithout = ["IDEL", "IMAP4rev1"]\nworkarounds = ["raw-header"]\n',
    ) == [
        "line 4: imap.id: at most 30 fields, of 30 octets, with at most 1024 octets each (RFC 2971)",
        'line 5: imap.without: "IDEL" is no capability that can be switched off – did you mean "IDLE"?',
        'line 5: imap.without: "IMAP4rev1" is no capability that can be switched off – did you mean "IMAP4REV2"?',
        'line 6: imap.workarounds: there is no workaround "raw-header" – did you mean "raw-headers"?',
    ]


def test_whatNewAccountsHaveAndWhatExpires(tmp_path: Path) -> None:
    assert tuple(read(tmp_path, SMALL).firstMailboxes()) == FIRST_MAILBOXES
    assert read(tmp_path, SMALL).expire.periods() == {}
    configuration = read(tmp_path, SMALL + '[mailboxes]\nSpam = "junk"\n"Work/Notes" = ""\n[expire]\njunk = "30d"\n')
    assert configuration.firstMailboxes() == [Create("Spam", frozenset({SpecialUse.JUNK})), Create("Work/Notes")]
    assert configuration.expire.periods() == {SpecialUse.JUNK: 30 * 86400.0}
    assert mistakes(tmp_path, SMALL + '[mailboxes]\nSpam = "jnuk"\n[expire]\njunk = "soon"\nsent = "3d"\n') == [
        'line 3: mailboxes: Spam: "jnuk" is no use of a mailbox – did you mean "junk"?',
        'line 6: expire.junk: "soon" is no time: write "90s", "15m", "4h", "5d" or a number of seconds',
        'line 7: unknown key "sent"',
    ]
    assert mistakes(tmp_path, SMALL + '[mailboxes]\nSpam = "junk"\nJunk = "junk"\n') == [
        "line 3: mailboxes: Spam and Junk cannot both be for junk"
    ]
    assert len(mistakes(tmp_path, SMALL + '[mailboxes]\n"inbox/x" = ""\n"a*" = ""\n')) == 2


def test_mastersAndClientCertificates(tmp_path: Path) -> None:
    for name in ("server", "clients"):
        ensureCertificate(str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"), "mail.example.org")
    auth = '[auth]\nmasters = ["Support@example.org"]\nmaster_separator = "%"\nsources = ["accounts:", "certificate:"]\n'
    tls = '[tls]\ncertificate = "server.pem"\nkey = "server.key"\n'
    data = f'data = "{tmp_path}"\n'
    configuration = read(tmp_path, SMALL + data + auth + tls + 'client_ca = "clients.pem"\n')
    assert (configuration.auth.masters, configuration.auth.masterSeparator) == (["Support@example.org"], "%")
    assert configuration.tls is not None
    assert configuration.tls.clientCA == str(tmp_path / "clients.pem")
    assert mistakes(tmp_path, SMALL + data + auth + tls) == [
        'line 7: auth.sources: "certificate:" needs [tls] client_ca, so that clients are asked for theirs'
    ]
    bad = auth.replace('"Support@example.org"', '"support"').replace('"%"', '"@"')
    assert mistakes(tmp_path, SMALL + data + bad + tls + 'client_ca = "clients.key"\n') == [
        "line 5: auth.masters: 'support' is not an address",
        'line 6: auth.master_separator: "@" is no delimiter: write one character such as "+", or "" for none',
        f"line 9: tls: {tmp_path}/clients.key holds no PEM certificate",
    ]


def test_anOAuthProviderIsCheckedWithTheRest(tmp_path: Path) -> None:
    text = SMALL + '[auth]\nsources = ["accounts:", "oauth:"]\n[plugin.oauth]\njwks = "http://id.example.org/keys"\nisuer = "x"\n'
    assert mistakes(tmp_path, text) == [
        'line 6: plugin.oauth.jwks: "http://id.example.org/keys" must begin with https, for it leads to another machine',
        'line 7: unknown key "isuer" – did you mean "issuer"?',
    ]
    text = text.replace("http:", "https:").replace("isuer", "issuer")
    assert mistakes(tmp_path, text) == [
        "line 5: plugin.oauth: jwks needs issuer and audience, for a token may be another's or for others"
    ]
    assert read(tmp_path, text + 'audience = ["mail"]\n').plugin["oauth"]["audience"] == ["mail"]


def test_inDevelopmentSomebodyReadsThePostmastersMail() -> None:
    assert Source().read(plugins()).addresses.postmaster == "mbrain@localhost"
    chosen = Source(options={("domains",): ["example.org"]}).read(plugins())
    assert chosen.addresses.postmaster == "mbrain@example.org"
