"""A hook for mailfw: `specimen:` takes no mail from the domains that its options name, and marks what it has seen.

[[hook]]
plugin = "specimen:"

[plugin.specimen]
domains = ["spam.example"]
"""

from pydantic import BaseModel, ConfigDict
from zope.interface import implementer

from mailfw.interfaces import IHookPlugin, IOptions
from mailfw.stages import AddHeader, Continue, Reject, Stage


class Options(BaseModel):
    """`[plugin.specimen]`; what is not written here is a mistake in the configuration, which is named with its line."""

    model_config = ConfigDict(extra="forbid")

    domains: list[str] = []


@implementer(IHookPlugin, IOptions)
class SpecimenPlugin:
    """Turns away mail from some domains."""

    prefix = "specimen"
    stages = (Stage.MAIL_FROM, Stage.END_OF_MESSAGE)
    model = Options

    def openHook(self, argument, context):
        refused = {domain.lower() for domain in context.options.domains}

        async def hook(event):  # must not block; a plain `def` may, and runs in a thread
            sender = event.envelope.sender  # None is <>, the sender of reports
            if event.stage is Stage.MAIL_FROM and sender is not None and sender.domain.lower() in refused:
                return Reject(text="your domain is not welcome here")
            if event.stage is Stage.END_OF_MESSAGE:
                return Continue((AddHeader("X-Seen-By", "specimen", position=0),))
            return None  # go on

        return hook


plugin = SpecimenPlugin()
