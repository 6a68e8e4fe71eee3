"""What messaging may be told."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from parvis_kit import settings
from pydantic import Field, model_validator

MIB = 2**20


class Settings(settings.Settings):
    env_prefix = "PARVIS_MESSAGING_"

    server_name: str = Field(default="", max_length=200, pattern=r"^([A-Za-z0-9.-]+(:\d{1,5})?)?$")
    """What Matrix ids end in, as @given.name:SERVER_NAME; by default the host of PARVIS_PUBLIC_URL. Chosen once: another name would be
    another homeserver."""
    media_bytes_max: int = Field(default=10 * MIB, ge=1, le=100 * MIB)
    """The largest file that a conversation takes; what is larger belongs into files, and its link into the conversation."""
    media_account_bytes_max: int = Field(default=200 * MIB, ge=0)
    """What one account may have uploaded into conversations in all."""
    homeserver_url: str = Field(default="", max_length=500, pattern=r"^(https?://[^\s?#]+)?$")
    """A Synapse of the suite, as messaging reaches it; left empty, messaging is the homeserver itself."""
    registration_file: Path | None = None
    """What `parvis messaging registration` wrote, for messaging and for that Synapse: the tokens by which they know each other."""

    @model_validator(mode="after")
    def _knows_its_homeserver(self) -> Self:
        if self.homeserver_url and self.registration_file is None:
            raise ValueError("PARVIS_MESSAGING_HOMESERVER_URL takes PARVIS_MESSAGING_REGISTRATION_FILE")
        return self


def server_name_of(named: str, public_url: str) -> str:
    """As the settings say, or as agents reach the suite."""
    return named or urlsplit(public_url).hostname or "localhost"
