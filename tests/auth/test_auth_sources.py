"""Each of our sources keeps the contract."""

from __future__ import annotations

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from mailfw.auth import accounts, cred, hashes, passwd
from mailfw.auth.chain import Chain, VerifierChain, chain
from mailfw.interfaces import IVerifierSource
from mailfw.testing.authenticator import AuthContext, AuthenticatorContract, resultOf


def fill(source, users):
    for address, password in users.items():
        resultOf(source.addUser(address, password))
    return source


class TestAccounts(AuthenticatorContract):
    @pytest.fixture(autouse=True)
    def _context(self, tmp_path):
        self.context = AuthContext(str(tmp_path))

    def openAuthenticator(self, users):
        return fill(accounts.plugin.openAuthenticator("", self.context), users)

    def operations(self, source):
        return source._hasher.operations


class TestPasswdFile(AuthenticatorContract):
    @pytest.fixture(autouse=True)
    def _context(self, tmp_path):
        self.context = AuthContext(str(tmp_path))

    def openAuthenticator(self, users):
        with open(self.context.path("users"), "w") as file:
            for address, password in users.items():
                print(f"{address.removesuffix('@example.org')}:{hashes.make(password)}", file=file)
        return passwd.plugin.openAuthenticator("users", self.context)

    def operations(self, source):
        return source._hasher.operations


class TestCredChecker(AuthenticatorContract):
    def openAuthenticator(self, users):
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        for address, password in users.items():
            checker.addUser(address.removesuffix("@example.org").encode(), password.encode())
        return cred.adapt(checker, "example.org")


class TestChain(TestPasswdFile):
    """The accounts are spread over two sources of different kinds."""

    def openAuthenticator(self, users):
        first, *others = users.items()
        self.parts = [
            fill(accounts.plugin.openAuthenticator("", self.context), dict(others)),
            super().openAuthenticator(dict([first])),
        ]
        return chain(self.parts)

    def operations(self, source):
        return sum(part._hasher.operations for part in self.parts) / 2

    def test_offersNoVerifiers(self, source):
        assert type(source) is Chain
        assert not IVerifierSource.providedBy(source)


class TestVerifierChain(TestAccounts):
    """The accounts are spread over two sources that both keep verifiers."""

    def openAuthenticator(self, users):
        first, *others = users.items()
        opened = [accounts.plugin.openAuthenticator(name, self.context) for name in ("one.sqlite", "two.sqlite")]
        self.parts = [fill(opened[0], dict(others)), fill(opened[1], dict([first]))]
        return chain(self.parts)

    def operations(self, source):
        return sum(part._hasher.operations for part in self.parts) / 2

    def test_offersVerifiers(self, source):
        assert type(source) is VerifierChain
        assert set(source.mechanisms()) == {"SCRAM-SHA-256", "SCRAM-SHA-1"}
