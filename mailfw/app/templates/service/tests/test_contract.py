"""The service bears what every service has to bear, and answers."""

from mailfw_specimen import plugin

from mailfw.testing.service import ServiceContract


class TestSpecimen(ServiceContract):
    plugin = plugin

    def test_answers(self):
        client = self.connect()
        client.take()
        client.send(b"name\r\ndomains\r\nwho?\r\nquit\r\n")
        assert client.take() == b"mail.localhost\r\nlocalhost\r\nwhat?\r\ngood bye\r\n"
        assert client.isClosed
