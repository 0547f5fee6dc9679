"""The store keeps what a simple store promises."""

from mailfw_specimen import plugin

from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.simplestore import SimpleStoreContract


class TestSpecimen(SimpleStoreContract):
    isTraced = False  # crashes are played on stores that change files by way of `os` only

    def openStore(self):
        return plugin.openSimpleStore("mail.sqlite", self.context)


def test_theTableHasAFileOfItsOwnWhereNobodySays(tmp_path):
    plugin.openSimpleStore("", FakeStoreContext(str(tmp_path)))
    assert (tmp_path / "specimen.sqlite").exists()
