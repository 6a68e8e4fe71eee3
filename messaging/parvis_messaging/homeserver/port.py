"""What the bridge asks of a homeserver, whichever it is. Whatever is asked twice is done once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Failed(Exception):
    """The homeserver did not do it: its status and errcode decide whether it is asked again."""

    def __init__(self, status: int, errcode: str, error: str = "", retry_after_ms: int | None = None) -> None:
        super().__init__(f"{status} {errcode} {error}".strip())
        self.status, self.errcode, self.retry_after_ms = status, errcode, retry_after_ms


@dataclass(frozen=True, slots=True)
class RoomWanted:
    """A room as it is to be."""

    alias: str
    """Its localpart, by which it is found again."""
    name: str
    is_direct: bool
    link: Mapping[str, Any]
    """The content of its state event fr.parvis.link, by which the mapping can be found again from Matrix."""


class Homeserver(Protocol):
    """Every method raises Failed."""

    @property
    def server(self) -> str:
        """Its name, as ids end in it."""

    @property
    def bot(self) -> str:
        """The user id that speaks for Parvis."""

    async def keep_account(self, user_id: str, display_name: str) -> None:
        """There is such an account, open, and called so."""

    async def close_account(self, user_id: str) -> int:
        """Nobody signs in to it, its sessions are ended and its rooms left. How many rooms there were."""

    async def end_session(self, user_id: str, device_id: str) -> None:
        """Whoever is signed in on this device is out."""

    async def ensure_room(self, wanted: RoomWanted) -> str:
        """The id of the room under this alias, made when there is none."""

    async def rename(self, room_id: str, name: str) -> None: ...

    async def bring_in(self, room_id: str, user_id: str) -> None:
        """Somebody is in the room from now on."""

    async def put_out(self, room_id: str, user_id: str) -> None:
        """Somebody is in the room no more."""

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any], txn_id: str) -> str:
        """The event's id; the same again for the same transaction id."""
