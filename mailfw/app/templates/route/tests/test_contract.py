"""The route keeps what routes and their deliveries promise."""

from mailfw_specimen import plugin

from mailfw.testing.route import RouteContract


class TestSpecimen(RouteContract):
    plugin = plugin
    argument = "faxes"

    def arrived(self):
        return [path.read_bytes() for path in (self.data / "faxes").glob("*.eml")]
