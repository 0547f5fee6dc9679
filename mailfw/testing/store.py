"""What every store promises, as tests: subclass `MailStoreContract`, say how your store is opened, and run pytest.

    class TestMyStore(MailStoreContract):
        def openStore(self, directory, context):
            return MyPlugin().openStore("mail", context)

Each test runs twice: inline on a fake clock, and with threads on the real reactor. A simple store is put behind the engine with
`mailfw.storage.simple.store.openSimple`; override `foreign` too, so that changes by other programs are tried.
"""

from __future__ import annotations

from mailfw.testing.promises.adopting import AdoptionPromises
from mailfw.testing.promises.changes import ChangePromises
from mailfw.testing.promises.foreign import ForeignPromises
from mailfw.testing.promises.home import Foreign
from mailfw.testing.promises.household import HouseholdPromises
from mailfw.testing.promises.mailboxes import MailboxPromises
from mailfw.testing.promises.messages import MessagePromises
from mailfw.testing.promises.metadata import MetadataPromises
from mailfw.testing.promises.quotas import QuotaPromises
from mailfw.testing.promises.reading import ReadingPromises
from mailfw.testing.promises.rights import RightsPromises
from mailfw.testing.promises.searching import SearchPromises

__all__ = ["Foreign", "MailStoreContract"]


class MailStoreContract(
    MessagePromises,
    MailboxPromises,
    ReadingPromises,
    ChangePromises,
    QuotaPromises,
    MetadataPromises,
    HouseholdPromises,
    RightsPromises,
    SearchPromises,
    ForeignPromises,
    AdoptionPromises,
):
    """Every promise of `interfaces.IMailStore`, `IAccount` and `IMailbox`.

    Hooks: `openStore` must be overridden. `isPersistent` is False for a store that is gone when it is closed; `hasGrace` is False
    where an expunged message is gone at once (simple stores); `adopts` is False for one that keeps no UIDs but its own.
    `foreign`, `formatHasFlags` and `loseState` are for simple stores.
    """
