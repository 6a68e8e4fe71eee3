"""Matrix, as messaging sees it: a homeserver of its own in this process, or another's."""

import asyncio
from dataclasses import dataclass, field

from parvis_messaging.homeserver.waiting import Waiters


@dataclass(frozen=True, slots=True)
class Home:
    """The loopback homeserver, as it is set up."""

    server: str
    """What its ids end in."""
    waiters: Waiters
    public_url: str
    media_bytes_max: int
    media_account_bytes_max: int
    is_here: bool = True
    """False when the homeserver is another's, and only the names are the same."""
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an agent has written in a linked room."""

    def user_id(self, localpart: str) -> str:
        return f"@{localpart}:{self.server}"

    def alias(self, localpart: str) -> str:
        return f"#{localpart}:{self.server}"
