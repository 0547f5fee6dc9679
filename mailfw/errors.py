"""What can go wrong, in words that every room shares.

A `Refusal` says that something was asked for and not done, and that everything is as it was before. Each is
temporary (asking again later may succeed) or permanent. No refusal knows a wire code: every protocol's `grammar` maps
these classes to its own words (SMTP 452 4.2.2, IMAP NO [OVERQUOTA], POP3 -ERR [SYS/TEMP]), in one table. The text is
safe to show to the client: it holds no secret, no path of the server and no traceback; what caused the refusal is
logged, never sent.

Anything raised that is no `Refusal` is a fault of ours or of a plugin: the protocol answers as for `Unavailable`, and
logs it with its traceback once.
"""

from __future__ import annotations


class Refusal(Exception):
    """Something was refused, and nothing was changed.

    :ivar isTemporary: whether the same request may succeed later.
    :ivar text: one line for the client, printable ASCII or UTF-8, without CR or LF.
    """

    isTemporary = False
    summary = "refused"

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text or self.summary

    def __str__(self) -> str:
        return self.text


class TemporaryRefusal(Refusal):
    """Try again later."""

    isTemporary = True
    summary = "temporarily refused, try again later"


# The system's state.


class Unavailable(TemporaryRefusal):
    """A store, an authenticator or a plugin cannot answer at the moment: disk full, database locked, plugin raised."""

    summary = "temporarily unavailable, try again later"


class InUse(TemporaryRefusal):
    """Another session holds what must be held alone (the POP3 maildrop, a mailbox being renamed)."""

    summary = "in use by another session"


class LimitExceeded(Refusal):
    """A limit of the server's would be passed (number of mailboxes, keywords, depth of a name …)."""

    summary = "a limit of this server would be exceeded"


class NotSupported(Refusal):
    """This store or route cannot do what was asked, and never will."""

    summary = "not supported here"


class AnnotationTooLarge(LimitExceeded):
    """The value of a metadata entry is larger than a store keeps. :ivar maximum: octets; 0: it is not known."""

    summary = "the value is too large"

    def __init__(self, maximum: int = 0) -> None:
        super().__init__(f"a value has at most {maximum} octets" if maximum else "")
        self.maximum = maximum


class TooManyAnnotations(LimitExceeded):
    """A mailbox or the server has as many metadata entries as it can have."""

    summary = "there are too many entries"


# Who is asking.


class AuthenticationFailed(Refusal):
    """The credentials are wrong, or there is no such account: deliberately the same words for both."""

    summary = "authentication failed"


class AuthenticationUnavailable(TemporaryRefusal):
    """No source could decide whether the credentials are right."""

    summary = "authentication is temporarily unavailable"


class AccountSuspended(AuthenticationFailed):
    """The credentials are right, but an administrator suspended the account."""

    summary = "account is suspended"


class TokenRefused(AuthenticationFailed):
    """A bearer token is not good, with what the client may be told to get a better one (RFC 7628 §3.2.2).

    :ivar reason: why, for the log alone; nothing in it comes from the client.
    :ivar status: `invalid_token` or `insufficient_scope` (RFC 6750 §3.1).
    :ivar scope: what a token must allow; empty: nothing in particular.
    :ivar discovery: URL of the provider's openid-configuration; empty: not told.
    """

    def __init__(self, reason: str = "", status: str = "invalid_token", scope: str = "", discovery: str = "") -> None:
        super().__init__()
        self.reason = reason
        self.status = status
        self.scope = scope
        self.discovery = discovery


class NoPermission(Refusal):
    """The identity lacks the right that the operation needs (RFC 4314 in storage, sender ownership in submission)."""

    summary = "permission denied"


# Addresses and messages under way.


class NoSuchRecipient(Refusal):
    """The domain is ours and the address leads nowhere."""

    summary = "no such recipient"


class RelayDenied(Refusal):
    """The domain is not ours, and this sender may not send through us."""

    summary = "relaying denied"


class NoRoute(Refusal):
    """No route carries mail to that domain from this system."""

    summary = "this system delivers no mail to that domain"


class MessageTooLarge(Refusal):
    """The message is larger than the server, the mailbox or the next hop takes."""

    summary = "message too large"


class MessageRefused(Refusal):
    """The content of the message is not acceptable."""

    summary = "message refused"


class OverQuota(Refusal):
    """The account's quota would be passed. IMAP says OVERQUOTA; SMTP answers 452 4.2.2, for mail may be deleted."""

    summary = "mailbox is over its quota"


# Mailboxes and messages in the store.


class NoSuchMailbox(Refusal):
    """No mailbox of that name in the account (or none that the identity may look up)."""

    summary = "no such mailbox"


class MailboxExists(Refusal):
    """A mailbox of that name is already there."""

    summary = "mailbox already exists"


class HasChildren(Refusal):
    """The mailbox cannot be deleted while it has children and is itself only a name."""

    summary = "mailbox has children"


class InvalidName(Refusal):
    """No mailbox, keyword or account can have that name."""

    summary = "invalid name"


class UIDValidityChanged(Refusal):
    """The mailbox that was opened is no longer there under that UIDVALIDITY: deleted, or deleted and made anew."""

    summary = "mailbox has been replaced"


class Vanished(Refusal):
    """The message was expunged and its content is gone (RFC 9051 §7.1 EXPUNGEISSUED)."""

    summary = "message has been expunged"
