"""What may stand in the configuration, as pydantic models: one class a section, one field a key.

Fields are camelCase here and snake_case in the file. A validator looks at one value alone; what depends on several is
looked at in `configuration`. Error texts are what a person reads beside a line number.
"""

from __future__ import annotations

import os
import re
import sys
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal

from attrs import fields as attributesOf
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, create_model, model_validator

from mailfw.app.endpoints import Binding, bindings
from mailfw.app.place import SYSTEM_DATA
from mailfw.app.quantities import octets, seconds
from mailfw.delivery.schedule import Schedule, parseIntervals
from mailfw.errors import InvalidName
from mailfw.imap.settings import OWN_NAME, Settings, Workaround
from mailfw.interfaces import IInsideService
from mailfw.net.limits import Limits
from mailfw.net.peer import Networks
from mailfw.plugins import Kind, PluginError, didYouMean, prefixed
from mailfw.stages import Stage
from mailfw.values import FIRST_MAILBOXES, Address, Create, SpecialUse

_LABEL = re.compile(r"[^\W_]([\w-]{0,61}[^\W_])?")


def _key(name: str) -> str:
    """The word in the file: of `pop3IdleTimeout` it is `pop3_idle_timeout`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing guessed, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=_key)


def _context(info: ValidationInfo) -> dict[str, Any]:
    """What the reader of a configuration hands to validators: `plugins`, and `data`, the data directory."""
    return dict(info.context or {})


def _domain(value: str) -> str:
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError(f'"{value}" is no domain name')
    return value.lower()


def _address(value: str) -> str:
    return str(Address.parse(value))


def _addressOrNone(value: str) -> str:
    return value and _address(value)


def _readable(value: str, info: ValidationInfo) -> str:
    path = os.path.join(_context(info)["data"], value)
    if not os.path.exists(path):
        raise ValueError(f"there is no {path}")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} cannot be read")
    return path


def _specification(kind: Kind) -> AfterValidator:
    def known(value: str, info: ValidationInfo) -> str:
        try:
            _context(info)["plugins"].expect(kind, prefixed(kind, value)[0])
        except PluginError as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(known)


def _service(value: str, info: ValidationInfo) -> str:
    try:
        _context(info)["plugins"].expect(Kind.SERVICE, value)
    except PluginError as error:
        raise ValueError(str(error)) from None
    return value


def _endpoint(value: str) -> str:
    bindings(value)
    return value


def _peers(value: str) -> str:
    Networks.parse([value])
    return value


def _delimiter(value: str) -> str:
    if len(value) > 1 or value in ("@", '"', ".") or value.isalnum() or value.isspace():
        raise ValueError(f'"{value}" is no delimiter: write one character such as "+", or "" for none')
    return value


def _intervals(value: list[str]) -> list[str]:
    parseIntervals(value)
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f'"{value}" is no network: {error}; write "192.0.2.0/24"') from None


def _nameServer(value: str) -> str:
    from mailfw.delivery.dns import asker

    asker([value])
    return value


def _smarthost(value: str) -> str:
    from mailfw.delivery.routes import smarthost

    if value:
        smarthost(value)
    return value


def _routed(value: str) -> str:
    return "." * value.startswith(".") + _domain(value.removeprefix("."))


def _via(value: str, info: ValidationInfo) -> str:
    """Open one of our own routes, which does nothing yet but look at its argument. Strangers' are opened when they are needed."""
    plugins, (prefix, argument) = _context(info)["plugins"], prefixed(Kind.ROUTE, value)
    if plugins.isBuiltIn(Kind.ROUTE, prefix):
        plugins.find(Kind.ROUTE, prefix).openRoute(argument, _Nowhere())
    return value


class _Nowhere:
    """What a route is given that is only looked at."""

    reactor = resolver = None
    data, hostname = "/", "localhost"
    port, timeout = 25, 300.0
    isOurs = now = staticmethod(lambda *_: 0)


PASSING = ("mx", "smtp")
"""Routes on which mail only passes through: nobody else is to send by us to where they lead."""

Domain = Annotated[str, AfterValidator(_domain)]
AddressText = Annotated[str, AfterValidator(_address)]
ReadablePath = Annotated[str, AfterValidator(_readable)]
Peers = Annotated[str, AfterValidator(_peers)]
Octets = Annotated[int, BeforeValidator(octets)]
Seconds = Annotated[float, BeforeValidator(seconds)]
Count = Annotated[int, Field(gt=0)]
AnyNumber = Annotated[int, Field(ge=0)]
"""A limit that 0 turns off."""

Port = Annotated[int, Field(gt=0, lt=65536)]
Intervals = Annotated[list[str], AfterValidator(_intervals)]


class Auth(Section):
    """`[auth]`: who may log in, and how.

    :ivar sources: where accounts are, asked in order: `accounts:` (those of `mailfw user`), `passwd:FILE`, `cred:…`, `oauth:`,
        `certificate:`.
    :ivar plaintext: from where passwords may come without TLS.
    :ivar rehash: whether a stored scheme weaker than argon2id is replaced at the next login.
    :ivar masters: accounts that may enter any other, as `user*master` or by SASL's authorization identity.
    :ivar masterSeparator: what stands between in `user*master`; empty: nobody logs in so.
    """

    sources: Annotated[list[Annotated[str, _specification(Kind.AUTHENTICATOR)]], Field(min_length=1)] = ["accounts:"]
    plaintext: Literal["loopback", "never", "always"] = "loopback"
    rehash: bool = True
    masters: list[AddressText] = []
    masterSeparator: Annotated[str, AfterValidator(_delimiter)] = "*"


class TLS(Section):
    """`[tls]`: a certificate and its key, or a directory of PEM files.

    :ivar certificate: the whole chain in PEM; or a directory of such files with their keys, chosen by the name that a client
        asks for.
    :ivar key: the certificate's, where it is in a file of its own.
    :ivar clientCA: authorities whose client certificates can log in; clients are then asked for one.
    """

    certificate: ReadablePath
    key: ReadablePath | None = None
    clientCA: ReadablePath | None = None


class Listen(Section):
    """`[[listen]]`: one service on one endpoint.

    :ivar service: `smtp`, `submission`, `submissions`, `lmtp`, `pop3`, `pop3s`, `imap`, `imaps`, `manhole`, `metrics`,
        or a plugin's own.
    :ivar endpoint: a port (IPv4 and IPv6, everywhere), `HOST:PORT`, or any endpoint string of Twisted's.
    :ivar proxy: from whom connections come with a PROXY header, and from nobody else: addresses, networks, `unix`.
    """

    service: Annotated[str, AfterValidator(_service)]
    endpoint: Annotated[str, AfterValidator(_endpoint)] = ""
    proxy: list[Peers] = []

    @model_validator(mode="before")
    @classmethod
    def _standardPort(cls, value: Any, info: ValidationInfo) -> Any:
        """Without an endpoint: the service's own port, for what only administrators use on loopback."""
        if isinstance(value, dict) and "endpoint" not in value and isinstance(value.get("service"), str):
            try:
                service = _context(info)["plugins"].find(Kind.SERVICE, value["service"])
            except PluginError:
                return value  # the field's own validator says so
            isInside = IInsideService.providedBy(service)
            return {**value, "endpoint": f"localhost:{service.port}" if isInside else str(service.port)}
        return value

    def bindings(self) -> list[Binding]:
        """The sockets that this comes to."""
        return bindings(self.endpoint)


class SMTP(Section):
    """`[smtp]`: what is SMTP's alone.

    :ivar xclient: peers that may say whom they speak for.
    :ivar inquiries: whom VRFY and EXPN tell the truth.
    """

    xclient: list[Peers] = []
    inquiries: Literal["login", "never", "always"] = "login"


def _stages(value: object) -> object:
    """One word, or a list of them."""
    words = [value] if isinstance(value, str) else value
    known = [stage.value for stage in Stage]
    for word in words if isinstance(words, list) else ():
        if word not in known:
            raise ValueError(f'there is no stage "{word}"{didYouMean(str(word), known)}')
    return words


class Hook(Section):
    """`[[hook]]`: who else has a say, and where.

    :ivar stage: where it is asked; empty: where its plugin says.
    :ivar plugin: `python:…`, `milter:…`, `policy:…`, `http://…`, `dnsbl:…`, `greylist:`, or a plugin's own.
    :ivar deadline: in which it has to answer.
    :ivar onFailure: what becomes of mail when it does not.
    """

    stage: Annotated[list[str], BeforeValidator(_stages)] = []
    plugin: Annotated[str, _specification(Kind.HOOK)]
    deadline: Annotated[Seconds, Field(gt=0)] = 10.0
    onFailure: Literal["tempfail", "accept"] = "tempfail"

    @model_validator(mode="after")
    def _somewhere(self, info: ValidationInfo) -> Hook:
        """A hook is asked somewhere."""
        try:
            plugin = _context(info)["plugins"].find(Kind.HOOK, self.plugin.partition(":")[0])
        except PluginError:
            return self  # the field's own validator says so
        if not self.stage and not plugin.stages:
            raise ValueError('say at which stage, such as stage = "end_of_message"')
        return self

    def stages(self, plugin: Any) -> list[Stage]:
        """Where it is asked. :param plugin: provides IHookPlugin."""
        return [Stage(word) for word in self.stage] or list(plugin.stages)


class Addresses(Section):
    """`[addresses]`: what local parts mean beside accounts and aliases.

    :ivar postmaster: who gets the mail for postmaster; otherwise the first account made with `--admin`.
    :ivar catchAll: by domain, who gets mail for addresses that nobody else has.
    :ivar tagDelimiter: `user+anything@` is `user@`; empty: it is not.
    """

    postmaster: Annotated[str, AfterValidator(_addressOrNone)] = ""
    catchAll: dict[Domain, AddressText] = {}
    tagDelimiter: Annotated[str, AfterValidator(_delimiter)] = "+"


class Queue(Section):
    """`[queue]`: how long mail for others is tried.

    :ivar retry: after which times it is tried again; `15m*16` is that often, the last repeats.
    :ivar warnAfter: then the sender is told once that it waits.
    :ivar giveUpAfter: then it comes back.
    """

    retry: Intervals = ["5m", "15m*16", "1h"]
    warnAfter: Seconds = 4 * 3600.0
    giveUpAfter: Seconds = 5 * 86400.0

    def schedule(self) -> Schedule:
        """As the relay takes it."""
        return Schedule(parseIntervals(self.retry), self.warnAfter, self.giveUpAfter)


class Relay(Section):
    """`[relay]`: how mail for others leaves, and who may send it.

    :ivar port: where other systems take mail.
    :ivar smarthost: one host for all that leaves, `smtp://user@host:587`; `smtps://…` for TLS from the first octet.
    :ivar smarthostPassword: the user's there.
    :ivar timeout: the longest wait for one reply.
    :ivar networks: hosts that may send anywhere without a login.
    :ivar deliveriesPerDestination: at a time, to one destination.
    :ivar hold: what leaves by the DNS or the smart host waits in the queue until somebody releases it.
    :ivar deliveries: of the server at a time; 0: workers (`mailfw relay`) bring on what leaves.
    :ivar loopback: what the DNS says may lead to this machine itself; for trying out.
    """

    port: Port = 25
    smarthost: Annotated[str, AfterValidator(_smarthost)] = ""
    smarthostPassword: str = ""
    timeout: Seconds = 300.0
    networks: list[Annotated[str, AfterValidator(_network)]] = []
    deliveries: AnyNumber = 100
    deliveriesPerDestination: Count = 20
    hold: bool = False
    loopback: bool = False


class DNS(Section):
    """`[dns]`: whom to ask; nobody: whom the system asks.

    :ivar servers: `ADDRESS:PORT`, asked in order.
    """

    servers: list[Annotated[str, AfterValidator(_nameServer)]] = []


class Route(Section):
    """`[[route]]`: the way on which mail for one domain leaves, or with a dot before it for all domains below.

    :ivar domain: `example.org`; `.example.org` is every domain below it.
    :ivar via: `mx:`, `smtp:HOST:PORT`, `lmtp:…`, `pipe:PROGRAM ARGS`, `discard:`, or a plugin's own.
    :ivar accept: whether anybody may send there; without it: yes, unless mail only passes through (`smtp:`, `mx:`).
    :ivar retry: :ivar warnAfter: :ivar giveUpAfter: as in `[queue]`, whose are meant where they are not said.
    """

    domain: Annotated[str, AfterValidator(_routed)]
    via: Annotated[str, _specification(Kind.ROUTE), AfterValidator(_via)]
    accept: bool | None = None
    retry: Intervals | None = None
    warnAfter: Seconds | None = None
    giveUpAfter: Seconds | None = None

    @property
    def isAccepting(self) -> bool:
        """Whether anybody may send there."""
        return self.via.partition(":")[0] not in PASSING if self.accept is None else self.accept

    def schedule(self, general: Schedule) -> Schedule:
        """This route's own, where it has one."""
        return Schedule(
            parseIntervals(self.retry) if self.retry is not None else general.intervals,
            self.warnAfter if self.warnAfter is not None else general.warnAfter,
            self.giveUpAfter if self.giveUpAfter is not None else general.giveUpAfter,
        )


def _module(value: str) -> str:
    if not all(word.isidentifier() for word in value.split(".")):
        raise ValueError(f'"{value}" is no module: write "tickets", without a path or ".py"')
    if value.partition(".")[0] in (*sys.stdlib_module_names, "mailfw", "twisted"):
        raise ValueError(f'"{value}" is the name of a module that others need: give yours another')
    return value


class Code(Section):
    """`[code]`: functions that addresses belong to.

    :ivar modules: that are imported for them. :ivar path: a directory in which they are looked for first.
    :ivar timeout: :ivar concurrency: :ivar retry: :ivar warnAfter: :ivar giveUpAfter: where a function says nothing else; the
        last three as in `[queue]`, whose are meant where they are None.
    """

    modules: list[Annotated[str, AfterValidator(_module)]] = []
    path: str = "code"
    timeout: Annotated[Seconds, Field(gt=0)] = 60.0
    concurrency: Count = 4
    retry: Intervals | None = None
    warnAfter: Seconds | None = None
    giveUpAfter: Seconds | None = None


class Log(Section):
    """`[log]`: where events are written, and how.

    :ivar format: lines for people, or a JSON object a line.
    :ivar file: a path, opened anew at SIGHUP; `-`: stdout.
    :ivar level: what is less than that is not written.
    """

    format: Literal["text", "json"] = "text"
    file: str = "-"
    level: Literal["debug", "info", "warn", "error"] = "info"


def _capability(value: str) -> str:
    from mailfw.imap.capability import switchable
    from mailfw.sasl.exchange import MECHANISMS

    known = {name.upper(): name for name in (*switchable(), *(f"AUTH={name}" for name in MECHANISMS))}
    if value.upper() not in known:
        raise ValueError(f'"{value}" is no capability that can be switched off{didYouMean(value.upper(), known)}')
    return value.upper()


def _workaround(value: str) -> str:
    known = [each.value for each in Workaround]
    if value not in known:
        raise ValueError(f'there is no workaround "{value}"{didYouMean(value, known)}')
    return value


def _identification(value: dict[str, str]) -> dict[str, str]:
    if len(value) > 30 or any(len(name.encode()) > 30 or len(text.encode()) > 1024 for name, text in value.items()):
        raise ValueError("at most 30 fields, of 30 octets, with at most 1024 octets each (RFC 2971)")
    return value


class AccountIMAP(Section):
    """`[imap.accounts."ADDRESS"]`: what is so for one account only.

    :ivar without: capabilities to switch off for it, beside those of `[imap]`.
    """

    without: list[Annotated[str, AfterValidator(_capability)]] = []


class IMAP(Section):
    """`[imap]`: what IMAP sessions say of the server, and what they can do.

    :ivar id: what ID answers; empty: nothing.
    :ivar without: capabilities to switch off with their commands, such as `UNAUTHENTICATE` or `AUTH=LOGIN`.
    :ivar workarounds: what is let pass although a standard forbids it.
    :ivar accounts: by address, what is so for one account only.
    """

    id: Annotated[dict[str, str], AfterValidator(_identification)] = dict(OWN_NAME)
    without: list[Annotated[str, AfterValidator(_capability)]] = []
    workarounds: list[Annotated[str, AfterValidator(_workaround)]] = [each.value for each in Workaround]
    accounts: dict[AddressText, AccountIMAP] = {}

    def settings(self) -> Settings:
        """The same as the IMAP room takes it."""
        return Settings(
            tuple(self.id.items()),
            frozenset(self.without),
            {name.lower(): frozenset(account.without) for name, account in self.accounts.items()},
            frozenset(map(Workaround, self.workarounds)),
        )


class Manhole(Section):
    """`[manhole]`: who may use the Python prompt, beside accounts with the admin flag.

    :ivar authorizedKeys: a file of keys as OpenSSH has them.
    """

    authorizedKeys: str = "manhole_authorized_keys"


_IN_OCTETS = {"messageSize", "bodyLine", "minimumRate", "spoolMemory"}


def _limitType(name: str, default: object) -> Any:
    # The annotation of a pydantic field is any typing construct, which has no type of its own.
    if isinstance(default, bool):
        return bool
    if isinstance(default, float):
        return Seconds
    return Octets if name in _IN_OCTETS else Count if default else AnyNumber


_limits: dict[str, Any] = {each.name: (_limitType(each.name, each.default), each.default) for each in attributesOf(Limits)}

if TYPE_CHECKING:

    class LimitsSection(Section):
        """`[limits]`: the same names, defaults and meaning as `net.Limits`, which is where they are described."""
else:
    LimitsSection = create_model("LimitsSection", __base__=Section, **_limits)


_USES = {use.value.removeprefix("\\").lower(): use for use in SpecialUse if use not in (SpecialUse.ALL, SpecialUse.FLAGGED)}


def _mailbox(value: str) -> str:
    from mailfw.storage.names import mailboxName

    try:
        name = mailboxName(value)
    except InvalidName as error:
        raise ValueError(str(error)) from None
    if name.partition("/")[0].upper() == "INBOX":
        raise ValueError("INBOX is always there, and what lies below it is made by clients")
    return name


def _uses(value: dict[str, str]) -> dict[str, str]:
    seen: dict[str, str] = {}
    for name, use in value.items():
        if use and use not in _USES:
            raise ValueError(f'{name}: "{use}" is no use of a mailbox{didYouMean(use, _USES)}')
        if use and seen.setdefault(use, name) != name:
            raise ValueError(f"{seen[use]} and {name} cannot both be for {use}")
    return value


class Expire(Section):
    """`[expire]`: after how long messages go by themselves from mailboxes of a special use.

    :ivar trash: from Trash; without it they stay.
    :ivar junk: from Junk, likewise.
    """

    trash: Seconds | None = None
    junk: Seconds | None = None

    def periods(self) -> dict[SpecialUse, float]:
        """The same by use."""
        said = {SpecialUse.TRASH: self.trash, SpecialUse.JUNK: self.junk}
        return {use: seconds for use, seconds in said.items() if seconds is not None}


_MailboxName = Annotated[str, AfterValidator(_mailbox)]
_FIRST_MAILBOXES = {
    each.name: next((use.value.removeprefix("\\").lower() for use in each.specialUse), "") for each in FIRST_MAILBOXES
}


class Configuration(Section):
    """The whole file, options applied.

    :ivar hostname: what the server calls itself; its MX and its certificate say the same.
    :ivar domains: mail for these ends here; a user name without a domain is of the first.
    :ivar data: the data directory; every relative path starts here.
    :ivar store: where mail is kept: `sqlite:DIR`, `maildir:DIR`, `textfile:DIR`, `textfile:DIR?format=simple`, `memory:`, or a
        plugin's own.
    :ivar mailboxes: what a new account has beside INBOX, and what each is for; `""`: nothing in particular.
    :ivar plugin: by prefix, options of plugins: `[plugin.PREFIX]`.
    """

    hostname: Domain
    domains: Annotated[list[Domain], Field(min_length=1)]
    data: Annotated[str, Field(min_length=1)] = SYSTEM_DATA
    store: Annotated[str, _specification(Kind.STORE)] = "sqlite:mail"
    auth: Auth = Auth()
    tls: TLS | None = None
    listen: Annotated[list[Listen], Field(min_length=1)] = []
    smtp: SMTP = SMTP()
    addresses: Addresses = Addresses()
    log: Log = Log()
    limits: LimitsSection = LimitsSection()
    queue: Queue = Queue()
    relay: Relay = Relay()
    dns: DNS = DNS()
    route: list[Route] = []
    hook: list[Hook] = []
    code: Code = Code()
    manhole: Manhole = Manhole()
    imap: IMAP = IMAP()
    mailboxes: Annotated[dict[_MailboxName, str], AfterValidator(_uses)] = _FIRST_MAILBOXES
    expire: Expire = Expire()
    plugin: dict[str, dict[str, Any]] = {}

    def netLimits(self) -> Limits:
        """The limits as `net` takes them."""
        return Limits(**dict(self.limits))

    def firstMailboxes(self) -> list[Create]:
        """What a new account has beside INBOX."""
        return [Create(name, frozenset((_USES[use],) if use else ())) for name, use in self.mailboxes.items()]

    def path(self, name: str) -> str:
        """A path as configured: relative ones start in the data directory."""
        return os.path.join(self.data, name)
