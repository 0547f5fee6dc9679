"""What endpoint strings come to."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from mailfw.app.endpoints import bindings, obstacle, tcp


@pytest.mark.parametrize(
    ("endpoint", "shown", "isLoopback"),
    [
        ("tcp:25", "0.0.0.0:25", False),
        ("tcp:25:interface=127.0.0.1", "127.0.0.1:25", True),
        ("tcp:port=25:interface=192.0.2.1:backlog=5", "192.0.2.1:25", False),
        (r"tcp:25:interface=\:\:1", "[::1]:25", True),
        ("tcp6:25", "[::]:25", False),
        ("unix:/run/mailfw/lmtp", "/run/mailfw/lmtp", True),
        (r"unix:address=/run/a\:b:mode=600", "/run/a:b", True),
        ("systemd:domain=INET6:name=smtp", "systemd:domain=INET6:name=smtp", False),
    ],
)
def test_twistedsOwnStringsAreOneSocket(endpoint: str, shown: str, isLoopback: bool) -> None:
    [binding] = bindings(endpoint)
    assert (str(binding), binding.isLoopback, binding.description) == (shown, isLoopback, endpoint)


def test_aPortAloneIsEveryInterfaceOfBothFamilies() -> None:
    found = bindings("25")
    assert all(binding.port == 25 and not binding.isLoopback for binding in found)
    assert {binding.host for binding in found} in ({"::"}, {"0.0.0.0"}, {"0.0.0.0", "::"})


def test_localhostIsLoopbackOfBothFamiliesAndSparesTheOneThatIsMissing() -> None:
    assert [(str(binding), binding.isOptional) for binding in bindings("localhost:25")] == [
        ("127.0.0.1:25", False),
        ("[::1]:25", True),
    ]


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("tpc:25", 'there is no endpoint type "tpc" – did you mean "tcp"?'),
        ("tcp:smtp", 'port "smtp" is not a number'),
        ("tcp", "tcp: lacks its port"),
        ("tcp:25:interfac=::", 'tcp: has no argument "interfac" – did you mean "interface"?'),
        ("99999", "there is no port 99999"),
        ("unix:", "unix: lacks its address"),
        ("systemd:domain=INET", "systemd: wants name=… or index=…, one of them"),
        ("", 'there is no endpoint type ""'),
    ],
)
def test_mistakesAreNamed(endpoint: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        bindings(endpoint)
    assert str(caught.value) == said


def test_obstaclesAreFoundBeforeBinding(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = obstacle(tcp("127.0.0.1", port))
        assert found is not None
        assert found.errno == errno.EADDRINUSE
    assert obstacle(tcp("127.0.0.1", port)) is None
    [missing] = bindings(f"unix:{tmp_path}/nowhere/socket")
    found = obstacle(missing)
    assert found is not None
    assert found.errno == errno.ENOENT
    assert obstacle(bindings(f"unix:{tmp_path}/socket")[0]) is None
