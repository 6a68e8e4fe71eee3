"""What the portal may be told."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from parvis_kit.settings import Settings as KitSettings
from pydantic import Field, StringConstraints, field_validator

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+$")]


class Settings(KitSettings):
    env_prefix = "PARVIS_PORTAL_"

    services: dict[str, Address] = Field(default_factory=dict)
    """Where the services answer, as {"files": "http://files:8080", …} in JSON; by default each at the portal's own address."""
    blobs_origin: Address | Annotated[str, StringConstraints(pattern="^$")] = ""
    """Where browsers send files to, as https://s3.example.org, when that is another host than the portal's own."""
    panel_seconds: float = Field(default=2.0, gt=0, le=20)
    """How long a part of a page waits for its service before it says that the service is away."""
    plain_upload_bytes_max: int = Field(default=100 * 2**20, ge=2**20, le=2**30)
    """The largest file that a browser without JavaScript may send; others are cut into parts, and may be larger."""
    plain_uploads_at_once: int = Field(default=4, ge=1, le=100)
    """How many of those are taken in at the same time; each lies on the disk of PARVIS_DATA until it is stored."""
    time_zone: str = "Europe/Paris"
    """In which hours are written on pages."""

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value} is no time zone that this machine knows, as Europe/Paris is") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
