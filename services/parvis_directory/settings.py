"""What directory may be told."""

from ipaddress import ip_address
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from parvis_kit.settings import Settings as KitSettings
from pydantic import Field, field_validator


class Settings(KitSettings):
    env_prefix = "PARVIS_DIRECTORY_"

    local_sign_in: bool = False
    """Agents sign in with an e-mail and a password kept here (`parvis password`): the only way in until ProConnect is."""
    session_idle_minutes: int = Field(default=120, ge=5, le=720)
    """A session that nobody used for this long has ended."""
    session_hours_max: int = Field(default=12, ge=1, le=24)
    """A session ends after this long, used or not."""
    leaver_services: tuple[str, ...] | None = None
    """Which services have to say that they have done their part before a departure is over, as a JSON list; by default all that can."""
    time_zone: str = "Europe/Paris"
    """Whose midnight begins the day on which a move or a transfer is due."""
    name_servers: tuple[str, ...] = ()
    """Addresses of the resolvers that are asked whether a domain is a ministry's, as a JSON list; by default the machine's."""
    signing_key_days: int = Field(default=90, ge=1, le=366)
    """How long a key signs before the next one takes over."""

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value} is no time zone that this machine knows, as Europe/Paris is") from None
        return value

    @field_validator("name_servers")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            ip_address(one)
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
