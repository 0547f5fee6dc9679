"""What hooks about strangers have in common: whom they do not ask about."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from mailfw.net.peer import Networks


class Allowing(BaseModel):
    """Options with `allow`. :ivar allow: networks that the hook lets by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[str, ...] = ()

    @field_validator("allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Networks.parse(value)
        return value
