# conftest.py
"""A PostgreSQL server of the tests' own, from Debian's package: in a directory that is gone afterwards, on no port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


class PostgreSQL:
    """Started when it is made. Where the tests are run by root, which PostgreSQL refuses, it is run by `postgres`.

    :raises FileNotFoundError: it is not installed.
    """

    def __init__(self):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "/nowhere/initdb")]
        self.programs = found[-1].parent
        if not found[-1].exists():
            raise FileNotFoundError("PostgreSQL is not installed")
        self.user = "postgres" if os.getuid() == 0 else None
        self.place = tempfile.mkdtemp(prefix="pg-")
        if self.user is not None:
            os.chown(self.place, pwd.getpwnam(self.user).pw_uid, -1)
        self.schemas = 0
        self.run("initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale", "--username=mail", f"{self.place}/data")
        options = f"-c listen_addresses='' -c unix_socket_directories={self.place} -c fsync=off"
        self.run("pg_ctl", "-w", "-D", f"{self.place}/data", "-l", f"{self.place}/log", "-o", options, "start")

    def run(self, program, *arguments):
        command = [self.programs / program, *arguments]
        subprocess.run(command, user=self.user, cwd=self.place, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def newSchema(self):
        """How to connect, so that there are no tables yet."""
        self.schemas += 1
        self.run("psql", f"--host={self.place}", "--username=mail", f"--command=CREATE SCHEMA s{self.schemas}", "postgres")
        return f"host={self.place} user=mail dbname=postgres options=-csearch_path=s{self.schemas}"

    def close(self):
        self.run("pg_ctl", "-w", "-D", f"{self.place}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.place)


@pytest.fixture(scope="session")
def postgres():
    """Skips where PostgreSQL is missing, but not in continuous integration."""
    try:
        server = PostgreSQL()
    except FileNotFoundError as error:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))
    yield server
    server.close()
