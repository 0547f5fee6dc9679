"""What may stand in the configuration, as pydantic models: one class a section, one field a key.

Fields are camelCase here and snake_case in the file. A validator looks at one value alone; what depends on several is
looked at in `configuration`. Error texts are what a person reads beside a line number.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from attrs import fields as attributesOf
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, create_model, model_validator
from pydantic.alias_generators import to_snake

from mailfw.app.endpoints import Binding, bindings
from mailfw.app.place import SYSTEM_DATA
from mailfw.app.quantities import octets, seconds
from mailfw.errors import InvalidName
from mailfw.imap.settings import OWN_NAME, Settings, Workaround
from mailfw.net.limits import Limits
from mailfw.plugins import Kind, PluginError, didYouMean, prefixed
from mailfw.values import FIRST_MAILBOXES, Address, Create, SpecialUse

_LABEL = re.compile(r"[^\W_]([\w-]{0,61}[^\W_])?")


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing guessed, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_snake)


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
    if value == "metrics":
        raise ValueError("the metrics service is not available in this version")
    try:
        _context(info)["plugins"].expect(Kind.SERVICE, value)
    except PluginError as error:
        raise ValueError(str(error)) from None
    return value


def _endpoint(value: str) -> str:
    bindings(value)
    return value


def _delimiter(value: str) -> str:
    if len(value) > 1 or value in ("@", '"', ".") or value.isalnum() or value.isspace():
        raise ValueError(f'"{value}" is no delimiter: write one character such as "+", or "" for none')
    return value


Domain = Annotated[str, AfterValidator(_domain)]
AddressText = Annotated[str, AfterValidator(_address)]
ReadablePath = Annotated[str, AfterValidator(_readable)]
Octets = Annotated[int, BeforeValidator(octets)]
Seconds = Annotated[float, BeforeValidator(seconds)]
Count = Annotated[int, Field(gt=0)]


class Auth(Section):
    """`[auth]`: who may log in, and how."""

    sources: Annotated[list[Annotated[str, _specification(Kind.AUTHENTICATOR)]], Field(min_length=1)] = ["accounts:"]
    plaintext: Literal["loopback", "never", "always"] = "loopback"
    rehash: bool = True
    masters: list[AddressText] = []
    masterSeparator: Annotated[str, AfterValidator(_delimiter)] = "*"


class TLS(Section):
    """`[tls]`: a certificate and its key, or a directory of PEM files."""

    certificate: ReadablePath
    key: ReadablePath | None = None
    clientCA: ReadablePath | None = None


LOOPBACK_SERVICES = ("manhole",)
"""Services that listen on loopback, on their own port, unless told otherwise."""


class Listen(Section):
    """`[[listen]]`: one service on one endpoint."""

    service: Annotated[str, AfterValidator(_service)]
    endpoint: Annotated[str, AfterValidator(_endpoint)] = ""

    @model_validator(mode="before")
    @classmethod
    def _standardPort(cls, value: Any, info: ValidationInfo) -> Any:
        """Without an endpoint: the service's own port, for what only administrators use on loopback."""
        if isinstance(value, dict) and "endpoint" not in value and isinstance(value.get("service"), str):
            try:
                port = _context(info)["plugins"].find(Kind.SERVICE, value["service"]).port
            except PluginError:
                return value  # the field's own validator says so
            return {**value, "endpoint": f"localhost:{port}" if value["service"] in LOOPBACK_SERVICES else str(port)}
        return value

    def bindings(self) -> list[Binding]:
        """The sockets that this comes to."""
        return bindings(self.endpoint)


class Addresses(Section):
    """`[addresses]`: what local parts mean beside accounts and aliases."""

    postmaster: Annotated[str, AfterValidator(_addressOrNone)] = ""
    catchAll: dict[Domain, AddressText] = {}
    tagDelimiter: Annotated[str, AfterValidator(_delimiter)] = "+"


class Log(Section):
    """`[log]`: where events are written, and how."""

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
    """`[imap.accounts."ADDRESS"]`: what is so for one account only."""

    without: list[Annotated[str, AfterValidator(_capability)]] = []


class IMAP(Section):
    """`[imap]`: what IMAP sessions say of the server, and what they can do."""

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
    """`[manhole]`: who may use the Python prompt, beside accounts with the admin flag."""

    authorizedKeys: str = "manhole_authorized_keys"


_IN_OCTETS = {"messageSize", "bodyLine", "minimumRate", "spoolMemory"}


def _limitType(name: str, default: object) -> Any:
    # The annotation of a pydantic field is any typing construct, which has no type of its own.
    if isinstance(default, bool):
        return bool
    if isinstance(default, float):
        return Seconds
    return Octets if name in _IN_OCTETS else Count


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
    """`[expire]`: after how long messages go by themselves from mailboxes of a special use."""

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
    """The whole file, options applied."""

    hostname: Domain
    domains: Annotated[list[Domain], Field(min_length=1)]
    data: Annotated[str, Field(min_length=1)] = SYSTEM_DATA
    store: Annotated[str, _specification(Kind.STORE)] = "sqlite:mail"
    auth: Auth = Auth()
    tls: TLS | None = None
    listen: Annotated[list[Listen], Field(min_length=1)] = []
    addresses: Addresses = Addresses()
    log: Log = Log()
    limits: LimitsSection = LimitsSection()
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
