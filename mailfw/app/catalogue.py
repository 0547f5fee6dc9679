"""The concrete plugins that come with mailfw, each named without being imported."""

from __future__ import annotations

import functools

from mailfw.plugins import BuiltIn, Kind, Plugins

BUILT_IN = (
    BuiltIn(Kind.STORE, "sqlite", "mailfw.storage.sqlite:sqlite", "mail in SQLite files; the default"),
    BuiltIn(Kind.STORE, "maildir", "mailfw.storage.maildir:maildir", "Maildir++, shared with Dovecot, mutt and mbsync"),
    BuiltIn(Kind.STORE, "textfile", "mailfw.storage.textfile:textfile", "one mbox file a mailbox, readable by people"),
    BuiltIn(Kind.STORE, "memory", "mailfw.storage.memory:memory", "nothing outlives the process; for trying out"),
    BuiltIn(Kind.AUTHENTICATOR, "accounts", "mailfw.auth.accounts:plugin", "our own accounts, see `mailfw user`; the default"),
    BuiltIn(Kind.AUTHENTICATOR, "passwd", "mailfw.auth.passwd:plugin", "a file of lines ADDRESS:{SCHEME}VALUE"),
    BuiltIn(Kind.AUTHENTICATOR, "cred", "mailfw.auth.cred:plugin", "any twisted.cred checker: cred:unix, cred:file:…"),
    BuiltIn(Kind.AUTHENTICATOR, "oauth", "mailfw.auth.oauth:plugin", "tokens of an OAuth 2 provider: JWTs, or by introspection"),
    BuiltIn(Kind.AUTHENTICATOR, "certificate", "mailfw.auth.certificate:plugin", "client certificates, see [tls] client_ca"),
    BuiltIn(Kind.ROUTE, "mx", "mailfw.delivery.routes:mx", "to each domain's own hosts; the default"),
    BuiltIn(Kind.ROUTE, "smtp", "mailfw.delivery.routes:smtp", "to one host: smtp:HOST:PORT"),
    BuiltIn(Kind.ROUTE, "lmtp", "mailfw.delivery.routes:lmtp", "to one host by LMTP: lmtp:HOST:PORT, lmtp:unix:/PATH"),
    BuiltIn(Kind.ROUTE, "pipe", "mailfw.delivery.pipe:pipe", "into a program, without a shell: pipe:/PROGRAM ARGS"),
    BuiltIn(Kind.ROUTE, "discard", "mailfw.delivery.routes:discard", "taken and forgotten"),
    BuiltIn(Kind.HOOK, "python", "mailfw.hooks.python:python", "a function: python:MODULE:FUNCTION, python:FILE.py:FUNCTION"),
    BuiltIn(Kind.HOOK, "milter", "mailfw.hooks.milter.connection:milter", "a milter: milter:unix:/PATH, milter:HOST:PORT"),
    BuiltIn(Kind.HOOK, "policy", "mailfw.hooks.policy:policy", "a Postfix policy service: policy:HOST:PORT, policy:unix:/PATH"),
    BuiltIn(Kind.HOOK, "http", "mailfw.hooks.http:http", "a program behind HTTP: http://HOST/PATH"),
    BuiltIn(Kind.HOOK, "https", "mailfw.hooks.http:https", "the same behind TLS: https://HOST/PATH"),
    BuiltIn(Kind.HOOK, "dnsbl", "mailfw.hooks.dnsbl:dnsbl", "lists of addresses in the DNS: dnsbl:ZONE,ZONE"),
    BuiltIn(Kind.HOOK, "greylist", "mailfw.hooks.greylist:greylist", "who is unknown has to come again"),
    BuiltIn(Kind.SERVICE, "smtp", "mailfw.smtp.server:smtp", "mail from other systems (25)"),
    BuiltIn(Kind.SERVICE, "submission", "mailfw.smtp.server:submission", "mail from our users, STARTTLS (587)"),
    BuiltIn(Kind.SERVICE, "submissions", "mailfw.smtp.server:submissions", "mail from our users, TLS (465)"),
    BuiltIn(Kind.SERVICE, "lmtp", "mailfw.smtp.server:lmtp", "mail from a system beside us (24)"),
    BuiltIn(Kind.SERVICE, "pop3", "mailfw.pop3.server:pop3", "reading mail, STLS (110)"),
    BuiltIn(Kind.SERVICE, "pop3s", "mailfw.pop3.server:pop3s", "reading mail, TLS (995)"),
    BuiltIn(Kind.SERVICE, "imap", "mailfw.imap.server:imap", "reading mail, STARTTLS (143)"),
    BuiltIn(Kind.SERVICE, "imaps", "mailfw.imap.server:imaps", "reading mail, TLS (993)"),
    BuiltIn(Kind.SERVICE, "metrics", "mailfw.app.metrics:metrics", "figures for Prometheus, health for probes: HTTP (9025)"),
    BuiltIn(Kind.SERVICE, "manhole", "mailfw.app.manhole:manhole", "a Python prompt inside the server, over SSH (1022)"),
)


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process."""
    return Plugins(BUILT_IN)
