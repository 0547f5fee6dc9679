"""A source of accounts in one screen: `members:FILE` reads a table of members that an application keeps in SQLite.

PYTHONPATH=etc/examples twistd -n mailfw --auth members:members.sqlite
"""

import hashlib
import hmac
import os
import sqlite3

from twisted.internet.threads import deferToThread
from zope.interface import implementer

from mailfw.errors import AuthenticationFailed
from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, IUserList
from mailfw.values import Identity, PasswordCredentials, accountName

TABLE = "CREATE TABLE IF NOT EXISTS member (address TEXT PRIMARY KEY, salt BLOB, hash BLOB, is_admin INTEGER DEFAULT 0)"


def scrambled(password, salt):
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


@implementer(IAuthenticator, IUserList)
class Members:
    def __init__(self, path, domain, inline):
        self.path = path
        self.domain = domain
        self.inline = inline

    def ask(self, statement, *values):
        with sqlite3.connect(self.path) as database:
            return database.execute(statement, values).fetchall()

    async def there(self, work, *arguments):
        """Do it in a thread: neither a slow disk nor a slow hash may hold up everybody's mail."""
        return work(*arguments) if self.inline else await deferToThread(work, *arguments)

    async def authenticate(self, credentials):
        if not isinstance(credentials, PasswordCredentials):  # a token or a certificate: another source may know it
            raise AuthenticationFailed
        try:
            account = accountName(credentials.user, self.domain)
        except ValueError:
            raise AuthenticationFailed from None
        if not account.isprintable() or not await self.there(self.isRight, account, credentials.password):
            raise AuthenticationFailed
        return Identity(account, isAdmin=account in await self.admins())

    def isRight(self, account, password):
        """An unknown member costs the same hash as a known one, so that time tells nothing."""
        if not password.isprintable():  # to scrypt, "secret" and "secret\0" are one
            return False
        found = self.ask("SELECT salt, hash FROM member WHERE address = ?", account)
        salt, stored = found[0] if found else (b"nobody's", b"")
        return hmac.compare_digest(scrambled(password, salt), stored)

    async def hasAccount(self, account):
        return account.isprintable() and bool(await self.there(self.ask, "SELECT 1 FROM member WHERE address = ?", account))

    async def admins(self):
        rows = await self.there(self.ask, "SELECT address FROM member WHERE is_admin ORDER BY rowid")
        return [address for (address,) in rows]


@implementer(IAuthenticatorPlugin)
class MembersPlugin:
    """A table of members."""

    prefix = "members"

    def openAuthenticator(self, argument, context):
        if not argument:
            raise ValueError("members: needs the path of a SQLite file")
        source = Members(os.path.join(context.data, argument), context.domains[0], context.isInline)
        source.ask(TABLE)
        return source


members = MembersPlugin()
