"""What is announced is what the documents say is there."""

from pathlib import Path

from mailfw.imap.capability import CAPABILITIES, afterLogin, beforeLogin

ROOT = Path(__file__).parent.parent.parent
TABLE = (ROOT / "docs/rfcs.d/imap.tsv").read_text().splitlines()


def test_every_capability_has_a_row():
    stated = {word.strip(",;") for row in TABLE for word in row.split("\t")[1].split()}
    assert set(CAPABILITIES) - stated == {"IMAP4rev1"}  # whose rows are its sections


def test_every_row_names_tests_that_are_there():
    for row in TABLE[1:]:
        rfc, section, status, room, tests = row.split("\t")
        assert rfc.isdigit() and section and room == "imap"
        assert status.startswith(("yes", "no"))
        assert [test for test in tests.split() if not (ROOT / test).is_file()] == []


def test_what_is_of_use_before_login_only_is_announced_before_login_only():
    before = beforeLogin(("SCRAM-SHA-256",), mayStartTLS=True, mayUsePlaintext=False)
    assert set(before) - set(afterLogin()) == {"STARTTLS", "LOGINDISABLED", "AUTH=SCRAM-SHA-256"}
    assert "LOGINDISABLED" not in beforeLogin((), mayStartTLS=False, mayUsePlaintext=True)
