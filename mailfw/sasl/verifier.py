"""What a server keeps to check SCRAM (RFC 5802 §2.2, §3): enough to know a proof, not enough to make one.

A `Verifier` is written as `ITERATIONS,SALT,STOREDKEY,SERVERKEY` in base64, the form that Dovecot keeps after
`{SCRAM-SHA-256}`, so that such rows can be moved either way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from attrs import field, frozen

from mailfw.sasl.prep import saslPrep

HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
"""Mechanism → the hash it is built from, by its name in hashlib."""

ITERATIONS = 10_000
"""Of verifiers that we make. RFC 7677 §4 asks for 4096 and more; the client pays it at each login, on a telephone too."""
SALT_LENGTH = 16
_ITERATIONS_LIMIT = 10_000_000


@frozen
class Verifier:
    """:ivar storedKey: H(ClientKey). :ivar serverKey: HMAC(SaltedPassword, "Server Key")."""

    salt: bytes
    iterations: int
    storedKey: bytes = field(repr=False)
    serverKey: bytes = field(repr=False)

    @classmethod
    def fromPassword(cls, mechanism: str, password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> Verifier:
        """Make one; some milliseconds of work, without the GIL.

        :param salt: random where none is given.
        :raises ValueError: SASLprep does not allow the password.
        """
        name = HASHES[mechanism]
        salt = os.urandom(SALT_LENGTH) if salt is None else salt
        salted = saltPassword(name, password, salt, iterations)
        clientKey = hmac.digest(salted, b"Client Key", name)
        return cls(salt, iterations, hashlib.new(name, clientKey).digest(), hmac.digest(salted, b"Server Key", name))

    @classmethod
    def parse(cls, mechanism: str, text: str) -> Verifier:
        """Read what `str` wrote. :raises ValueError: it is no verifier for that mechanism."""
        size = hashlib.new(HASHES[mechanism]).digest_size
        try:
            iterations, salt, storedKey, serverKey = text.split(",")
            read = cls(
                base64.b64decode(salt, validate=True),
                int(iterations),
                base64.b64decode(storedKey, validate=True),
                base64.b64decode(serverKey, validate=True),
            )
        except ValueError:
            raise ValueError(f"not a verifier for {mechanism}") from None
        if not (read.salt and 0 < read.iterations <= _ITERATIONS_LIMIT):
            raise ValueError(f"not a verifier for {mechanism}")
        if len(read.storedKey) != size or len(read.serverKey) != size:
            raise ValueError(f"not a verifier for {mechanism}")
        return read

    def __str__(self) -> str:
        fields = (base64.b64encode(part).decode("ascii") for part in (self.salt, self.storedKey, self.serverKey))
        return ",".join((str(self.iterations), *fields))

    def matches(self, mechanism: str, password: str) -> bool:
        """Whether the verifier was made from this password; as much work as making one."""
        try:
            made = self.fromPassword(mechanism, password, self.salt, self.iterations)
        except ValueError:
            return False
        return hmac.compare_digest(made.storedKey, self.storedKey)


def saltPassword(name: str, password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of RFC 5802 §3. :raises ValueError: SASLprep does not allow the password."""
    return hashlib.pbkdf2_hmac(name, saslPrep(password).encode("utf-8"), salt, iterations)


def makeUp(mechanism: str, account: str, secret: bytes) -> Verifier:
    """A verifier for an account that is not there: always the same for the same name, and no password fits it.

    Without it, whoever asks twice would see from the salt whether a name is real.

    :param account: the canonical name, so that all spellings of one name get one salt, as with real accounts.
    :param secret: the server's own; whoever knows it can tell made-up salts from real ones.
    """

    def derive(purpose: str, size: int) -> bytes:
        material = "\0".join((purpose, mechanism, account)).encode("utf-8", "surrogatepass")
        return hmac.digest(secret, material, "sha512")[:size]

    size = hashlib.new(HASHES[mechanism]).digest_size
    return Verifier(derive("salt", SALT_LENGTH), ITERATIONS, derive("stored key", size), derive("server key", size))
