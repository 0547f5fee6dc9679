"""What HELP says (RFC 5321 §4.1.1.8)."""

from __future__ import annotations

from mailfw.smtp.reply import Reply, reply

_TOPICS = {
    "HELO": "HELO your.host.name - open a session the old way, without extensions",
    "EHLO": "EHLO your.host.name - open a session; the reply lists the extensions",
    "LHLO": "LHLO your.host.name - open an LMTP session; the reply lists the extensions",
    "STARTTLS": "STARTTLS - encrypt the connection; say EHLO again afterwards",
    "AUTH": "AUTH mechanism [initial-response] - log in",
    "MAIL": "MAIL FROM:<sender> [parameters] - begin a message; <> is the null sender",
    "RCPT": "RCPT TO:<recipient> - one more recipient of the message",
    "DATA": "DATA - the message follows, ended by a line with a single dot",
    "BDAT": "BDAT size [LAST] - a piece of the message follows at once, so many octets",
    "RSET": "RSET - forget the message under way",
    "NOOP": "NOOP - nothing happens",
    "VRFY": "VRFY address - whether mail to it is taken here; after AUTH",
    "EXPN": "EXPN address - where an alias leads; after AUTH",
    "VERB": "VERB [ON|OFF] - say after DATA what became of each recipient",
    "HELP": "HELP [command] - the list of commands, or about one of them",
    "QUIT": "QUIT - good bye",
}
_NOT_IN = {"LMTP": ("HELO", "EHLO", "AUTH"), "ESMTP": ("LHLO",)}


def explain(topic: str, greeting: str) -> Reply:
    """The list of commands, or a line about one.

    :param greeting: the protocol that is spoken: `ESMTP` or `LMTP`.
    """
    topics = {name: line for name, line in _TOPICS.items() if name not in _NOT_IN[greeting]}
    if not topic:
        return reply(214, "2.0.0", "commands:", " ".join(topics), "HELP command explains one")
    if topic not in topics:
        return reply(504, "5.5.4", "no such topic; HELP lists the commands")
    return reply(214, "2.0.0", topics[topic])
