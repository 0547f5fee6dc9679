"""`docs/FEATURES.md` says of this server what it announces, no more and no less."""

import re
from pathlib import Path

from mailfw.imap import capability

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (Path(__file__).parent.parent / "docs/FEATURES.md").read_text().splitlines()
    if line.startswith("| `")
]
ANNOUNCED = {*capability.CAPABILITIES, *capability.AFTER_LOGIN, *capability.LIMITS, "STARTTLS"}


def test_what_is_said_of_us_is_true():
    said = {row[0].strip("`") for row in ROWS if row[2] == "yes"}
    assert said == {re.sub(r"^RIGHTS=.*", "RIGHTS=", name) for name in ANNOUNCED}


def test_every_row_is_whole():
    assert len({row[0] for row in ROWS}) == len(ROWS) > 60
    for row in ROWS:
        assert len(row) == 8, row
        assert row[2] in ("yes", ""), row
        assert all(cell in ("yes", "option", "") or cell.startswith("`") for cell in row[3:]), row
        assert any(row[2:]), row
