"""What is announced belongs to where the session is; that it is all there, `tests/test_rfcs.py` checks."""

from mailfw.imap.capability import afterLogin, beforeLogin


def test_what_is_of_use_before_login_only_is_announced_before_login_only():
    before = beforeLogin(("SCRAM-SHA-256",), mayStartTLS=True, mayUsePlaintext=False)
    assert set(before) - set(afterLogin()) == {"STARTTLS", "LOGINDISABLED", "AUTH=SCRAM-SHA-256"}
    assert "LOGINDISABLED" not in beforeLogin((), mayStartTLS=False, mayUsePlaintext=True)
