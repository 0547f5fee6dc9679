"""Development mode: what is left unsaid when `twistd mailfw` is started without a configuration file.

Loopback only, standard ports + 1000, everything in `./mailfw-data`, and two accounts to try it out with, which work only
while nobody outside this machine can reach any listener.
"""

from __future__ import annotations

from typing import Any

DATA = "mailfw-data"
ACCOUNTS = ("mbrain", "jsmith")
"""Local parts, in the first domain."""

PASSWORD = "mailfw"

PORTS = {
    "smtp": 1025,
    "submission": 1587,
    "submissions": 1465,
    "lmtp": 1024,
    "pop3": 1110,
    "pop3s": 1995,
    "imap": 1143,
    "imaps": 1993,
    "manhole": 1022,
}


def configuration() -> dict[str, Any]:
    """What a file would say."""
    return {
        "hostname": "localhost",
        "domains": ["localhost"],
        "data": DATA,
        "listen": [{"service": service, "endpoint": f"localhost:{port}"} for service, port in PORTS.items()],
    }
