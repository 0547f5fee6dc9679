# test_pgletters.py
import pytest

from mailfw.testing.simplestore import SimpleStoreContract

psycopg = pytest.importorskip("psycopg")
pgletters = pytest.importorskip("pgletters").pgletters


class TestPgLetters(SimpleStoreContract):
    isTraced = False  # no files are changed by us

    @pytest.fixture(autouse=True)
    def _database(self, postgres):
        self.address = postgres.newSchema()

    def openStore(self):
        return pgletters.openSimpleStore(self.address, self.context)

    def foreignAppend(self, account, folder, content):
        """What the application does to send somebody mail."""
        with psycopg.connect(self.address) as database:
            sql = "INSERT INTO letter (key, account, folder, received, content) VALUES (gen_random_uuid(), %s, %s, 0, %s)"
            database.execute(sql, (account, folder, content))

    def foreignRemove(self, account, folder, store, entry):
        with psycopg.connect(self.address) as database:
            database.execute("DELETE FROM letter WHERE key = %s", (entry.key,))
