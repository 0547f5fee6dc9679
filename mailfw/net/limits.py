"""The bounds that keep a hostile or broken client from costing more than it may."""

from __future__ import annotations

from attrs import frozen


@frozen
class Limits:
    """Octets and seconds; `[limits]` of the configuration sets them by the same names in snake_case.

    :ivar messageSize: of one message, as SMTP's SIZE and IMAP's APPENDLIMIT announce it.
    :ivar recipients: of one SMTP transaction; more get 452. :ivar recipientDomains: likewise, their different domains.
    :ivar transactions: messages of one SMTP session; then it is closed with 421.
    :ivar holdTime: seconds that a submitted message may ask to be held (FUTURERELEASE).
    :ivar recipientsPerSender: that one account may send to in an hour; 0: any number.
    :ivar recipientsPerAddress: that one IP address (IPv6: one /64) may send to in an hour without a login; 0: any number.
    :ivar receivedHeaders: a message with more is in a loop.
    :ivar bodyLine: the longest line of a message that is accepted.
    :ivar connections: in all; :ivar connectionsPerAddress: from one IP address (IPv6: one /64).
    :ivar loopbackExempt: connectionsPerAddress does not count loopback and Unix peers.
    :ivar commandTimeout: seconds that an SMTP client may take for its next command.
    :ivar dataTimeout: seconds in which some message data must come.
    :ivar minimumRate: octets a second that a message or a literal must come at; it may fall `dataTimeout` behind.
    :ivar idleTimeout: seconds an IMAP session may be silent. :ivar pop3IdleTimeout: the same for POP3.
    :ivar idleKeepAlive: seconds after which an IMAP client in IDLE is told that the server is still there.
    :ivar loginTimeout: seconds that an IMAP or POP3 client has to log in, from the moment it connected.
    :ivar writeTimeout: seconds that a client may leave our output unread.
    :ivar messageLimit: messages that one IMAP command should be about, as MESSAGELIMIT announces it (RFC 9738).
    :ivar enforcesMessageLimit: whether a command about more is done for the newest so many only, or refused.
    :ivar badCommands: in a session, before it is closed. :ivar authFailures: likewise.
    :ivar spoolMemory: octets of a message under way kept in memory; what is longer goes to a file.
    :ivar stallTime: seconds for which something may hold the reactor before the log names it; 0: nobody looks.
    :ivar stopTimeout: seconds that sessions get to finish when the server stops.
    """

    messageSize: int = 50 << 20
    recipients: int = 1000
    recipientDomains: int = 1000
    transactions: int = 10000
    holdTime: float = 2592000.0
    recipientsPerSender: int = 0
    recipientsPerAddress: int = 0
    receivedHeaders: int = 50
    bodyLine: int = 65536
    connections: int = 10000
    connectionsPerAddress: int = 100
    loopbackExempt: bool = True
    commandTimeout: float = 300.0
    dataTimeout: float = 180.0
    minimumRate: int = 64
    idleTimeout: float = 1800.0
    pop3IdleTimeout: float = 600.0
    idleKeepAlive: float = 120.0
    loginTimeout: float = 120.0
    writeTimeout: float = 120.0
    messageLimit: int = 100_000
    enforcesMessageLimit: bool = False
    badCommands: int = 20
    authFailures: int = 5
    spoolMemory: int = 262144
    stallTime: float = 1.0
    stopTimeout: float = 10.0
