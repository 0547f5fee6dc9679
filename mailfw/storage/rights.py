"""Who may do what in whose account: decided here, for every protocol.

Accounts are private: only their owner opens them, and administrators. (A master login comes as the owner's identity.)
"""

from __future__ import annotations

from mailfw.errors import NoPermission
from mailfw.values import Identity


def mustOpen(identity: Identity, owner: str) -> None:
    """:raises NoPermission: the identity has no rights in that account."""
    if identity.account != owner and not identity.isAdmin:
        raise NoPermission()
