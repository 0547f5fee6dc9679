"""Every contract that a plugin meets, and nothing else.

Rooms never import each other; they meet here and are wired in `mailfw.app`. What may wait is `async def` and runs in the
reactor's thread (await Deferreds or coroutines); a stream is a plain `def` that returns an async iterator. What is said to
block is called in a thread. Errors are the classes of `mailfw.errors`; anything else that a plugin raises costs the one
session or recipient concerned a temporary failure.

mypy-zope reads these as protocols; `mailfw.testing` has a contract class for each that says by tests what the words
here promise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

from zope.interface import Attribute, Interface

from mailfw.stages import Decision, Event, Stage
from mailfw.tally import Health
from mailfw.values import (
    MX,
    TLSA,
    Address,
    Answer,
    Changes,
    Column,
    Create,
    Credentials,
    Damage,
    Entry,
    Envelope,
    Identity,
    MailboxInfo,
    MailboxStatus,
    MessageSource,
    NewMessage,
    Operation,
    Outcome,
    Peer,
    Quota,
    Recipient,
    Resolution,
    Result,
    Snapshot,
    SpecialUse,
    Target,
    UIDSet,
    Usage,
)

T = TypeVar("T")
Row = tuple[Any, ...]
"""One message's values, in the order of the columns that were asked for (`values.Column` gives the type of each)."""

# --- Stores, the full contract ---------------------------------------------------------------------------------------


class IContent(Interface):
    """A stored message's octets, read by range. Blocking: only to be used inside a `render` function."""

    size: int = Attribute("octets")

    def read(start: int = 0, length: int = -1) -> bytes:
        """Octets from `start`, at most `length` (-1: to the end); fewer past the end.

        :raises Vanished: the message was expunged and its content is gone.
        """


class IMailStore(Interface):
    """A place where accounts keep their mail.

    What every implementation promises, and `mailfw.testing.MailStoreContract` checks:

    - UIDs only grow. UIDVALIDITY of a name never repeats. MODSEQ is one counter per account, never repeats, never goes back.
    - A reader that polls `uid > last` or `modseq > last` never misses a message.
    - What `apply` or `deliver` reported done is on disk. A crash leaves every `apply` done or not done at all.
    - An expunged message can be read for ten minutes by a session that has not been told; simple stores raise Vanished.
    """

    async def openAccount(identity: Identity, owner: str) -> IAccount:
        """The account named `owner` as `identity` may use it; made, with its INBOX, where it is not there yet and the owner asks.

        A mailbox that the identity may not look up is for it as if it were not there (RFC 4314).

        :raises NoPermission: the identity has no rights there, or there is no such account, which nobody can tell apart.
        """

    async def sharedWith(identity: Identity) -> list[str]:
        """The owners, sorted, of mailboxes that the identity may look up, but the identity's own account."""

    async def deliver(message: MessageSource, targets: Sequence[Target]) -> list[Outcome]:
        """Put a message into each target; durable for those that are DELIVERED when this returns. Outcomes in their order.

        Never raises for a single target. Return-Path has been stamped by the caller.
        """

    async def removeAccount(account: str) -> int:
        """Remove an account for good, with its mail and whatever others gave it; how many mailboxes it had, if it was there.

        Open mailboxes of it are deleted ones from then on. Whoever gets an account of that name later begins with nothing.
        """

    async def mustHaveRoom(account: str, octets: int) -> None:
        """Whether a message of that size could be delivered there now, as far as the account's quota is concerned.

        :raises OverQuota: it could not. An account that is not there yet is not made.
        """

    async def close() -> None:
        """Finish what is under way, and let go of files and threads."""


class IStoreAccounts(Interface):
    """A store that can say whose mail it keeps. Whoever moves all of it asks; of other stores accounts are named one by one."""

    async def accounts() -> list[str]:
        """Canonical names of all accounts that are there, sorted."""


class ICheckedStore(Interface):
    """A store that can look whether it is whole."""

    async def check() -> list[Damage]:
        """What is wrong; nothing is changed. Sessions go on meanwhile; it may take as long as reading all there is."""


class IRepairedStore(ICheckedStore):
    """A store that can mend what `check` finds."""

    async def repair(isRehearsal: bool) -> list[Damage]:
        """Mend what can be mended; what was done. Nobody else may be using the store.

        :param isRehearsal: change nothing; what would be done.
        """


class IAccount(Interface):
    """One account's mailboxes, seen by one identity. Cheap: a session holds one; it need not be closed.

    Who is not the owner may do what a mailbox's access control list says, no more, and finds nothing there that may not be looked
    up (`mailfw.testing.promises.rights`).
    """

    owner: str = Attribute("canonical account name")

    async def mailboxes() -> list[MailboxInfo]:
        """Every name in the tree, sorted with each parent before its children: mailboxes, names that only have children, and
        names that are only subscribed."""

    async def open(name: str) -> IMailbox:
        """:raises NoSuchMailbox: there is none of that name, or it cannot be selected.
        :raises NoPermission: it may be looked up, but not read.
        """

    async def apply(operations: Sequence[Operation]) -> list[Result]:
        """Do all of it in one transaction, or nothing; the only way to change an account. Flags that somebody may not give to
        messages that come in are left out; what else is not allowed raises NoPermission.

        Results are in the order of the operations; `values` says which each yields and raises. The caller's message sources
        must stay until this returns.
        """

    async def usage() -> Usage:
        """What the account holds, and may hold. :raises NoPermission: it is another's, and who asks is no administrator."""

    async def rights(mailbox: str) -> dict[str, str]:
        """A mailbox's access control list: identifiers with their rights (RFC 4314 §3.3). The owner is not on it.

        :raises NoSuchMailbox, NoPermission:
        """

    async def myRights(mailbox: str) -> str:
        """What whoever opened the account may do with a mailbox, of `values.RIGHTS` (RFC 4314 §3.5). :raises NoSuchMailbox:"""

    async def metadata(mailbox: str, names: Sequence[str], depth: int | None = 0) -> dict[str, bytes]:
        """Metadata entries of those names, and so many levels below them (None: all), as far as they are there (RFC 5464).

        :param mailbox: empty: the server, where private entries are the identity's own.
        :param names: in lower case, `/private/comment`; `/private/specialuse` says what the mailbox is for (RFC 6154 §4).
        :raises NoSuchMailbox, NoPermission:
        """

    async def metadataSince(modSeq: int) -> list[tuple[str, str]]:
        """Names of mailboxes, each with an entry that was set or removed after `modSeq`, as far as the identity may see it; the
        empty name is the server, of which only private entries are named. Of what was removed long ago nothing may be known."""

    async def changedSince(modSeq: int) -> tuple[int, list[str]]:
        """The account's MODSEQ now, and the names of mailboxes that anything happened to after `modSeq`, tree included."""

    def watch(bell: Callable[[str], None]) -> Callable[[], None]:
        """Call `bell(mailboxId)` in the reactor's thread after changes, whoever made them; rings may merge or get lost. The id is
        empty where no mailbox changed but the account: a subscription.

        Returns what ends the watch. The bell must not block, and asks `changesSince` for what happened.
        """


class IMailbox(Interface):
    """One mailbox of one account. It stands for a mailbox id: renaming does not disturb it.

    Every method raises UIDValidityChanged once the mailbox has been deleted.
    """

    info: MailboxInfo = Attribute("as it was when opened")

    async def status() -> MailboxStatus:
        """The counters, in constant time. \\Recent is not claimed."""

    async def snapshot(claimRecent: bool = False) -> Snapshot:
        """All UIDs with the counters of the same moment; `claimRecent`: later askers see those messages not recent."""

    def rows(uids: UIDSet, columns: Sequence[Column], render: Callable[[Sequence[Row]], Iterable[T]]) -> AsyncIterator[list[T]]:
        """Read messages, ascending by UID; UIDs that are not there are passed over.

        `render` is a pure function that is called in a reader thread with up to 500 rows at a time and whose result is walked
        there; its items come back in lists of about 256 KiB (of `bytes`; other items count as 500 octets) for each crossing to
        the reactor. Nothing is read ahead: a reader that does not ask for more costs no memory, and holds no transaction.
        """

    async def read(uid: int, start: int = 0, length: int = -1) -> bytes:
        """Octets of one message. :raises Vanished: it is not there any more."""

    async def changesSince(modSeq: int) -> Changes:
        """What happened after `modSeq`, from durable state."""

    async def candidates(criterion: Any) -> UIDSet | None:
        """UIDs among which all matches of a `message.criteria` criterion are, found by indexes; None: no index helps.

        The asker verifies; a candidate set is never too small.
        """


# --- Stores, the simple contract -------------------------------------------------------------------------------------


class ISimpleStore(Interface):
    """Folders of messages somewhere, for a stranger to write in about fifty lines. Every method blocks and is called in threads.

    The engine stands beside it and supplies UIDs, MODSEQ, search, notification and whatever else mail protocols ask for. The
    files (or rows, or whatever they are) are the truth for bytes, and for flags where the format has them. Calls for one
    account never overlap; calls for different accounts do.
    """

    def folders(account: str) -> Iterable[str]:
        """Names of the account's folders, `/` between levels. INBOX is always there, listed or not."""

    def token(account: str, folder: str) -> str:
        """A cheap mark that changes whenever the folder does; empty: unknown, scan every time."""

    def scan(account: str, folder: str) -> Iterable[Entry]:
        """Every message, in the order in which they came."""

    def read(account: str, folder: str, entry: Entry) -> bytes:
        """The whole message, found by its key where the locator is stale. :raises Vanished: no message has that key any more."""

    def newKey(account: str, folder: str, message: NewMessage) -> str:
        """The key under which `append` would store this message now; the engine notes it first, to recover from a crash."""

    def append(account: str, folder: str, messages: Sequence[tuple[str, NewMessage]]) -> Sequence[Entry]:
        """Add messages under their keys; on return they are durable. All or none: when it raises, none is there.

        :raises NoSuchMailbox: there is no such folder. INBOX is made where it is missing.
        """

    def remove(account: str, folder: str, entries: Sequence[Entry]) -> None:
        """Remove messages for good; one that is gone already is no error."""


class ISimpleFlags(Interface):
    """A simple store whose format has flags."""

    permanentFlags: frozenset[str] | None = Attribute(
        "flags that the format keeps; None: all, keywords too. The engine's record keeps the others."
    )

    def setFlags(account: str, folder: str, entries: Sequence[tuple[Entry, frozenset[str]]]) -> Sequence[Entry]:
        """Give each message these flags; durable on return. Returns the entries as they are now (locators may change), one for
        each, in their order; for a message that is gone, the entry as it was given."""


class ISimpleFolders(Interface):
    """A simple store in which folders can be made."""

    def createFolder(account: str, folder: str) -> None:
        """Make it; no error when it is there. :raises InvalidName: the store can keep no folder of that name."""

    def renameFolder(account: str, folder: str, newName: str) -> None:
        """Rename this one folder (the engine calls it for each child), never INBOX. Atomic; messages keep their keys.

        :raises NoSuchMailbox, MailboxExists, InvalidName:
        """

    def deleteFolder(account: str, folder: str) -> None:
        """Remove it with its messages, but not its children; no error when it is not there. Never INBOX."""


class ISimpleAccounts(Interface):
    """A simple store that can say whose folders it keeps; of others the engine knows the accounts that were opened before."""

    def accounts() -> Iterable[str]:
        """Canonical names of accounts that have an INBOX."""


class ISimplePlaces(Interface):
    """A simple store that keeps each account's mail in files apart from all others', so that a backup takes them together."""

    def places(account: str) -> Sequence[str]:
        """Absolute paths of the files and directories in which the account's mail is, whether or not they are there."""


class IUnnamedFolders(Interface):
    """An account of a store that may have folders which are no mailboxes, because no mailbox can be called so."""

    async def unnamed() -> Sequence[str]:
        """The names of these folders, for whoever moves all mail away and has to know of what stays behind."""


class IFiledStore(Interface):
    """A store whose mail is in files that change under their names."""

    def takeFiles(take: Callable[[Sequence[str]], None]) -> Awaitable[None]:
        """Call `take`, in a thread, with the paths of one account's files after another, while nobody here changes these."""


class ISimpleStream(Interface):
    """A simple store that can read a part of a message without reading all of it."""

    def open(account: str, folder: str, entry: Entry) -> BinaryIO:
        """The message as a seekable file of exactly what `read` returns. :raises Vanished:"""


class ISimpleUIDs(Interface):
    """A simple store that finds UIDs another program gave to its messages, asked once when the engine first sees a folder."""

    def uids(account: str, folder: str) -> tuple[int, int, Mapping[str, int]] | None:
        """UIDVALIDITY, UIDNEXT and the UID for each key; None where nobody has numbered the folder."""


class IMailStorePlugin(Interface):
    """How a store is named in configuration: `prefix:rest`."""

    prefix: str = Attribute("the word before the colon")

    def openStore(argument: str, context: IStoreContext) -> IMailStore:
        """Open the full store that `argument`, the text after the colon, describes."""


class ISimpleStorePlugin(Interface):
    """How a simple store is named in configuration; the core puts the engine beside what it opens."""

    prefix: str = Attribute("the word before the colon")

    def openSimpleStore(argument: str, context: IStoreContext) -> ISimpleStore:
        """Open the store that `argument`, the text after the colon, describes."""


class IPluginContext(Interface):
    """What every plugin is given when it is opened."""

    reactor: Any = Attribute("IReactorTime, IReactorThreads")
    data: str = Attribute("the data directory; relative paths start here")
    domains: Sequence[str] = Attribute("the configured domains, the first one first")
    now: Callable[[], float] = Attribute("seconds since the epoch, UTC")
    isInline: bool = Attribute("do blocking work at once in the caller's thread: for tests on a fake clock")


class IStoreContext(IPluginContext):
    """What a store is given when it is opened."""

    quotaOf: Callable[[str], Awaitable[Quota]] = Attribute("what an account may hold, by its canonical name: `IQuotas.quotaOf`")
    mailboxes: Sequence[Create] = Attribute("what a new account has beside INBOX, subscribed to")
    expiry: Mapping[SpecialUse, float] = Attribute("seconds after which messages go by themselves from mailboxes of a use")


class IOptions(Interface):
    """A plugin that has options of its own: the table `[plugin.PREFIX]` of the configuration."""

    model: Any = Attribute("a pydantic model class, whose fields are the keys of that table")


class IOptionsContext(IPluginContext):
    """What a plugin that provides IOptions is given when it is opened."""

    options: Any = Attribute("an instance of the plugin's model: what the configuration says, or the model's defaults")


# --- Who somebody is -------------------------------------------------------------------------------------------------


class IAuthenticator(Interface):
    """A source of accounts that can tell whether credentials are right."""

    async def authenticate(credentials: Credentials) -> Identity:
        """Who that is. Takes as long for an unknown user as for a wrong password.

        Credentials of a kind that the source does not judge (see ICredentialKinds) are refused at once.

        :raises AuthenticationFailed: wrong, or unknown to this source (another may know); TokenRefused for a token.
        :raises AuthenticationUnavailable: this source cannot tell now.
        """


class ICredentialKinds(Interface):
    """An authenticator that says which credentials it can judge. One that does not is asked about passwords alone."""

    kinds: Collection[type] = Attribute("classes of `values.Credentials`; it does not change")


class IIdentitySource(Interface):
    """An authenticator that knows its accounts by name, whatever proved who somebody is: a token, a certificate, a master."""

    async def identityOf(user: str) -> Identity:
        """The identity of the account that is called so.

        :raises AuthenticationFailed: this source has no such account.
        :raises AccountSuspended: it has, and nobody may log in to it.
        :raises AuthenticationUnavailable: it cannot tell now.
        """


class IQuotas(Interface):
    """Who knows what accounts may hold."""

    async def quotaOf(account: str) -> Quota:
        """The account's own limits; none of its own where nobody has set any, or knows the account."""


class IVerifierSource(Interface):
    """An authenticator that keeps what challenge-response mechanisms need, so that SCRAM can be offered."""

    def mechanisms() -> Collection[str]:
        """Of `SCRAM-SHA-256` and `SCRAM-SHA-1` those that every account can use now. Cheap: asked for each connection."""

    async def verifier(user: str, mechanism: str) -> Any:
        """A `sasl` verifier (salt, iterations, stored key, server key) for `SCRAM-SHA-256` or `SCRAM-SHA-1`; None: unknown user,
        or no verifier for that mechanism (the sasl room then goes on with a made-up one, so that nobody can tell)."""

    async def identify(user: str) -> Identity:
        """The identity of a user who has proved to know the password. :raises AccountSuspended:"""


class IAuthenticatorPlugin(Interface):
    """How a source is named in `[auth] sources`: `prefix:rest`."""

    prefix: str = Attribute("the word before the colon")

    def openAuthenticator(argument: str, context: IAuthContext) -> IAuthenticator:
        """The source may provide ICredentialKinds, IIdentitySource, IVerifierSource, IUserList, IAliases, IQuotas and IClosable
        too. The context provides IOptionsContext where the plugin provides IOptions.

        :raises ValueError: the argument makes no sense; the text says why.
        """


class IAuthContext(IPluginContext):
    """What a source of accounts is given when it is opened."""

    rehash: bool = Attribute("whether a stored scheme weaker than argon2id is to be replaced at the next login")


class IClosable(Interface):
    """What holds files or threads, and is to be told of the end."""

    async def close() -> None:
        """Finish what is under way, and let go of files and threads."""


class IHealth(Interface):
    """What keeps data and can say how it is: a store, a source of accounts, the queue. None of them has to."""

    async def health() -> Sequence[Health]:
        """One for each file, or whatever it keeps data in. Cheap: asked every few seconds while somebody looks.

        :raises Unavailable: it cannot even tell.
        """

    async def prove() -> None:
        """Write something that changes nothing, durably. :raises Unavailable: nothing can be written now."""


class IDirectory(Interface):
    """What addresses lead to."""

    async def resolve(address: Address) -> Resolution:
        """Where mail for an address of ours goes; aliases, subaddressing, catch-all and postmaster are seen to.

        :raises NoSuchRecipient: the domain is ours and the address leads nowhere.
        :raises RelayDenied: the domain is not ours.
        :raises Unavailable: cannot be told now.
        """

    async def owns(identity: Identity, address: Address) -> bool:
        """Whether the identity may send as that address."""

    async def expand(address: Address) -> list[Address]:
        """Where an alias leads, one level, for EXPN; empty when it is no alias."""

    def isLocalDomain(domain: str) -> bool:
        """Whether mail for the domain ends here."""


class IUserList(Interface):
    """An authenticator that can say which accounts exist (a directory asks it)."""

    async def hasAccount(account: str) -> bool:
        """Whether that canonical name is an account that takes mail."""

    async def admins() -> list[str]:
        """Canonical names of the accounts with the admin flag, the oldest first; the first is postmaster where nobody else is."""


class IAliases(Interface):
    """An authenticator's account database that also keeps aliases."""

    async def aliasTargets(address: str) -> list[str]:
        """What the alias leads to: addresses as they were given, domains in lower case; empty: no such alias."""


# --- The way of a message --------------------------------------------------------------------------------------------


class IRouter(Interface):
    """Opens the way for a message that a listener is receiving."""

    isQueueing: bool = Attribute(
        "what is taken can wait (held until a time, delivered by a time, with a priority) and leave for other systems, and its"
        " sender is told what became of it (RFC 3461)"
    )

    def begin(envelope: Envelope, peer: Peer) -> IDelivery:
        """A delivery for a message from `envelope.sender`; its recipients are still to come."""


class IDelivery(Interface):
    """One message under way: `recipient` for each, then `commit` with the body; or `abort` at any point.

    >>> delivery = router.begin(envelope, peer)
    >>> await delivery.recipient(Recipient(Address("jsmith", "example.org")))
    >>> outcomes = await delivery.commit(source)
    """

    async def recipient(recipient: Recipient) -> None:
        """Accept one more recipient. Raising leaves the delivery as it was.

        :raises NoSuchRecipient, RelayDenied, NoRoute, OverQuota, Unavailable:
        """

    async def commit(message: MessageSource) -> list[Outcome]:
        """Bring the message to every accepted recipient, in their order; what is DELIVERED or QUEUED is durable."""

    def abort() -> None:
        """Forget it. Nothing was changed."""


class IRoute(Interface):
    """A way on which messages leave for some domains. It may provide IClosable too."""

    def destination(domain: str) -> str:
        """What recipients at that domain have in common with others on this route: those of one message that have the same
        destination travel together, and connections are counted by it."""

    def begin(envelope: Envelope) -> IDelivery:
        """A delivery on this route, to recipients of one destination.

        Its `commit` may raise Unreachable: nobody got anything, and the whole destination is left in peace for a while.
        """


class IQueuedRoute(IRoute):
    """A route that has to know one message of the queue from another with the same envelope."""

    def beginQueued(envelope: Envelope, id: int, arrived: float) -> IDelivery:
        """As `begin`. :param id: of the message, and :param arrived: when it was accepted: together they are nobody else's,
        ever."""


class IRoutePlugin(Interface):
    """How a route is named in `[[route]] via`: `prefix:rest`."""

    prefix: str = Attribute("the word before the colon")

    def openRoute(argument: str, context: IRouteContext) -> IRoute:
        """The context has `options` too (see IOptionsContext) where the plugin provides IOptions.

        :raises ValueError: the argument makes no sense; the text says why.
        """


class IRouteContext(Interface):
    """What a route is given when it is opened."""

    reactor: Any = Attribute("IReactorTime, IReactorTCP, IReactorProcess …")
    data: str = Attribute("the data directory; relative paths start here")
    hostname: str = Attribute("what this system calls itself")
    resolver: IResolver = Attribute("the DNS")
    now: Callable[[], float] = Attribute("seconds since the epoch, UTC")
    port: int = Attribute("where other systems take mail: 25, unless configured")
    timeout: float = Attribute("seconds: the longest wait for one reply of another system")
    isOurs: Callable[[str], bool] = Attribute("whether an IP address leads back to this system")


class IResolver(Interface):
    """The DNS. Names are A-labels or U-labels; answers are from a cache while they are good.

    Each method raises NoSuchDomain where there is no such name, and Unavailable where that cannot be told now (no server
    answers, a server fails, a signature is wrong): the one is an answer, the other none.
    """

    async def mx(domain: str) -> Answer[MX]:
        """Mail exchangers, in no order that means anything."""

    async def addresses(host: str) -> Answer[str]:
        """IPv6 and IPv4 addresses. Where one of the two kinds cannot be told now, the other is the answer."""

    async def txt(name: str) -> Answer[bytes]:
        """Texts, each put together from its strings."""

    async def tlsa(name: str) -> Answer[TLSA]:
        """Certificate associations (RFC 6698), of a name such as `_25._tcp.mx.example.org`."""


# --- Hooks -----------------------------------------------------------------------------------------------------------


class IHooks(Interface):
    """All hooks there are, as the rooms see them that have stages."""

    stages: Collection[Stage] = Attribute("where there are any: nobody need be asked elsewhere")

    async def ask(event: Event) -> Decision:
        """What the hooks of the event's stage come to. Never raises."""

    def tell(event: Event) -> None:
        """Let the hooks of a stage know whose answer changes nothing; returns at once."""


class IHookPlugin(Interface):
    """How a hook is named in `[[hook]] plugin`: `prefix:rest`."""

    prefix: str = Attribute("the word before the colon")
    stages: Collection[Stage] = Attribute("where its hooks are asked when the configuration does not say; empty: it has to say")

    def openHook(argument: str, context: IHookContext) -> Callable[[Event], Any]:
        """A plain function (called in threads) or an `async def` (awaited in the reactor's), or an object with such a `__call__`,
        which takes an event and returns one of the results in `mailfw.stages`, or None to go on. One and the same is asked at
        every stage that the configuration names. It may provide IClosable.

        :raises ValueError: the argument makes no sense; the text says why.
        """


class IHookMark(Interface):
    """Of a hook plugin whose hooks can become others while the configuration stays as it is: those that are read from files."""

    def mark(argument: str, data: str) -> str:
        """What changes whenever the hook would be another one if it were opened again: a reload opens it then.

        :param data: where relative paths begin.
        :raises OSError: it cannot be told.
        """


class IHookContext(IPluginContext):
    """What a hook is given when it is opened. It provides IOptionsContext where the plugin provides IOptions."""

    hostname: str = Attribute("what this system calls itself")
    resolver: IResolver = Attribute("the DNS")
    spool: str = Attribute("a directory for files that live as long as a message is under way")


# --- Services --------------------------------------------------------------------------------------------------------


class IMailService(Interface):
    """A listening protocol, found as a plugin and named in `[[listen]] service`."""

    name: str = Attribute("the word in the configuration: smtp, imap …")
    port: int = Attribute("the standard port")
    isTLS: bool = Attribute("TLS from the first octet (submissions, imaps, pop3s)")

    def factory(context: Any) -> Any:
        """A Twisted `IProtocolFactory` for one listener. `context` is a `mailfw.net.context.ServiceContext`."""


class IInsideService(IMailService):
    """A service for those who look inside the server: `context` is the server itself, `mailfw.app.server.Server`.

    It listens on loopback unless told otherwise, and while the server stops it is the last that goes.
    """
