"""Which mechanism a client uses with a server: the safest that both know."""

from __future__ import annotations

from collections.abc import Iterable

from mailfw.errors import NotSupported
from mailfw.sasl.plain import LoginClient, PlainClient
from mailfw.sasl.scram import ScramClient
from mailfw.sasl.steps import SCRAM, ClientMechanism


def chooseMechanism(
    offered: Iterable[str],
    user: str,
    password: str,
    *,
    mayUsePlaintext: bool,
    binding: tuple[str, bytes] | None = None,
) -> ClientMechanism:
    """The client's half of the best mechanism that the server offers.

    :param mayUsePlaintext: the connection is one on which the password may be shown to the server.
    :param binding: type and data of the TLS channel's binding, where there is one.
    :raises NotSupported: no mechanism is left.
    """
    names = {name.upper() for name in offered}
    plus = [f"{name}-PLUS" for name in SCRAM] if binding is not None else []
    for name in (*plus, *SCRAM):
        if name in names:
            return ScramClient(name, user, password, binding=binding)
    if mayUsePlaintext and "PLAIN" in names:
        return PlainClient(user, password)
    if mayUsePlaintext and "LOGIN" in names:
        return LoginClient(user, password)
    raise NotSupported("the server offers no authentication mechanism that can be used here")
