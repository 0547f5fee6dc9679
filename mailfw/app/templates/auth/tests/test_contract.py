"""The source of accounts keeps what an authenticator promises."""

import pytest
from mailfw_specimen import line, plugin

from mailfw.testing.authenticator import AuthContext, AuthenticatorContract


class TestSpecimen(AuthenticatorContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.data = tmp_path

    def openAuthenticator(self, accounts):
        (self.data / "users").write_text("".join(line(*each) for each in accounts.items()), encoding="utf-8")
        return plugin.openAuthenticator("users", AuthContext(data=str(self.data)))


def test_aFileThatIsNotThereIsNamed(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        plugin.openAuthenticator("users", AuthContext(data=str(tmp_path)))
