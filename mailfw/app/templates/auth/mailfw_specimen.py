"""Accounts for mailfw: `specimen:FILE` reads lines of address, salt and hash, as `python -m mailfw_specimen` prints them."""

import getpass
import hashlib
import hmac
import os
import secrets

from twisted.internet.threads import deferToThread
from zope.interface import implementer

from mailfw.errors import AuthenticationFailed
from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, IUserList
from mailfw.values import Identity, PasswordCredentials, accountName


def scrambled(password, salt):
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


def line(address, password):
    """What stands in the file for an account."""
    salt = secrets.token_hex(16)
    return f"{address} {salt} {scrambled(password, salt)}\n"


@implementer(IAuthenticator, IUserList)
class SpecimenAccounts:
    def __init__(self, path, domain, inline):
        self.path = path
        self.domain = domain
        self.inline = inline

    async def there(self, work, *arguments):
        """Do it in a thread: neither a slow disk nor a slow hash may hold up everybody's mail."""
        return work(*arguments) if self.inline else await deferToThread(work, *arguments)

    def accounts(self):
        """Salt and hash by account."""
        with open(self.path, encoding="utf-8") as file:
            return {address: (salt, stored) for address, salt, stored in map(str.split, file)}

    async def authenticate(self, credentials):
        if not isinstance(credentials, PasswordCredentials):  # a token or a certificate: another source may know it
            raise AuthenticationFailed
        try:
            account = accountName(credentials.user, self.domain)
        except ValueError:
            raise AuthenticationFailed from None
        if not await self.there(self.isRight, account, credentials.password):
            raise AuthenticationFailed
        return Identity(account)

    def isRight(self, account, password):
        """An unknown account costs the same hash as a known one, so that time tells nothing."""
        if not password.isprintable():  # to scrypt, "secret" and "secret\0" are one
            return False
        salt, stored = self.accounts().get(account, ("00" * 16, ""))
        return hmac.compare_digest(scrambled(password, salt), stored)

    async def hasAccount(self, account):
        return account in await self.there(self.accounts)

    async def admins(self):
        return []


@implementer(IAuthenticatorPlugin)
class SpecimenPlugin:
    """A file of addresses and hashes."""

    prefix = "specimen"

    def openAuthenticator(self, argument, context):
        path = os.path.join(context.data, argument)
        if not os.path.isfile(path):
            raise ValueError(f"there is no file {path}")
        return SpecimenAccounts(path, context.domains[0], context.isInline)


plugin = SpecimenPlugin()

if __name__ == "__main__":
    print(line(input("Address: "), getpass.getpass()), end="")
