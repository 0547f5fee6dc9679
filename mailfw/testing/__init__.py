"""For people who write plugins: contracts to run, conversations, fakes and a clock. Nothing in production imports this.

Public: `docs/testing.md` says what each module has, with examples. What begins with an underscore, and `promises`, whose tests
`store.MailStoreContract` gathers, may change.
"""

from __future__ import annotations

import sys

if "pytest" in sys.modules:  # what an assertion of a contract saw is told, as in a test of one's own
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module}" for module in ("authenticator", "hook", "promises", "route", "service", "simplestore"))
    )
