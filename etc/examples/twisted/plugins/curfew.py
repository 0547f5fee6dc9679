"""A hook with a prefix and options of its own: `curfew:` takes no mail from strangers at night.

    [[hook]]
    plugin = "curfew:"

    [plugin.curfew]
    from = 22
    until = 6
"""

from datetime import UTC, datetime

from attrs import frozen
from pydantic import BaseModel, Field
from zope.interface import implementer

from mailfw.interfaces import IHookPlugin, IOptions
from mailfw.stages import Stage, TempFail


class Hours(BaseModel):
    """`[plugin.curfew]`: hours, UTC."""

    begin: int = Field(22, alias="from", ge=0, lt=24)
    until: int = Field(6, ge=0, lt=24)


@implementer(IHookPlugin, IOptions)
@frozen
class Curfew:
    """Opens hooks that are asked at MAIL, unless the configuration says otherwise."""

    prefix = "curfew"
    stages = (Stage.MAIL_FROM,)
    model = Hours

    def openHook(self, argument, context):
        hours = context.options

        async def curfew(event):
            hour = datetime.fromtimestamp(context.now(), UTC).hour
            isNight = hour >= hours.begin or hour < hours.until
            if isNight and event.client.identity is None:
                return TempFail(text=f"we sleep, come back at {hours.until}:00 UTC")
            return None

        return curfew


curfew = Curfew()
