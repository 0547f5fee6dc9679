"""The client's half of SMTP and LMTP, on the same grammar as the server.

    client = await endpoint.connect(Factory.forProtocol(lambda: SMTPClient(reactor)))
    session = ClientSession(client, "mail.example.org", host="mx.example.com")
    await session.greet()
    if "STARTTLS" in session.features:
        await session.startTLS(clientTLS("mx.example.com", isVerified=False))
    outcomes = await session.send(envelope, recipients, message)
    await session.quit()

`features` says what a server announced, `session` what a client says and what answers mean (pure: it knows a channel and no
transport), `protocol` is the channel on a Twisted transport.

Invariants:

- Nothing but `errors.Unreachable` (and its kinds, `TLSFailed` and `LoginFailed`) is raised, whatever the server does; once a
  server has said something about a message, every recipient has an outcome.
- 4xx is temporary and 5xx is permanent, each recipient for itself. A connection that ends, garbage, and silence are temporary.
  Only a 2xx after the message means that the server has it.
- Nothing that came before TLS is taken for an answer under TLS.
- A server can make the client remember one reply of a bounded length and one read of others; a message is read as the server
  takes it.
"""

from mailfw.smtp.client.features import Features
from mailfw.smtp.client.protocol import SMTPClient
from mailfw.smtp.client.session import Channel, ClientSession, LoginFailed, Timeouts, TLSFailed, mustHaveTLS
from mailfw.smtp.client.tls import clientTLS

__all__ = [
    "Channel",
    "ClientSession",
    "Features",
    "LoginFailed",
    "SMTPClient",
    "TLSFailed",
    "Timeouts",
    "clientTLS",
    "mustHaveTLS",
]
