"""Matrix, as messaging sees it: a homeserver of its own in this process, or another's."""

from dataclasses import dataclass

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

    def user_id(self, localpart: str) -> str:
        return f"@{localpart}:{self.server}"

    def alias(self, localpart: str) -> str:
        return f"#{localpart}:{self.server}"
