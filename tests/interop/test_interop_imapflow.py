"""ImapFlow, the IMAP client of many programs on Node.js: MOVE, CONDSTORE, IDLE, and everything under COMPRESS.

Continuous integration does not install it, and skips these tests. `npm install imapflow` somewhere, and NODE_PATH set to its
`node_modules`, lets them run.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("imapflow.js")

pytestmark = pytest.mark.prove


@pytest.fixture
def node():
    program = shutil.which("node")
    if program is None or subprocess.run([program, "-e", "require('imapflow')"], capture_output=True, check=False).returncode:
        pytest.skip("node or imapflow is not installed")
    return program


def test_imapflow(server, run, node):
    seen = json.loads(run(node, SCRIPT, server.ports["imaps"], server.certificate))
    assert seen["subjects"] == [f"flow {number}" for number in range(1, 6)]
    assert seen["bodies"] == [f"body {number}" for number in range(1, 6)]
    assert seen["found"] == [2, 3, 4]
    assert ["flags", 2, ["\\Flagged", "\\Seen"]] in seen["events"]
    assert ["exists", 6] in seen["events"]
    assert ["expunge", 4] in seen["events"]
    assert seen["changed"] == [2, 6]
    assert seen["moved"] == [1]
    assert (seen["status"]["messages"], seen["status"]["uidNext"]) == (4, 7)
    assert seen["isCompressed"]
