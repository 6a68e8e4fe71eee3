"""How messages leave: their transaction ids, their waits, and what is given up."""

import base64
from datetime import timedelta
from hashlib import sha256
from typing import Literal

FailureReason = Literal["forbidden", "not_found", "too_large", "refused"]
TXN_CHARACTERS = 26
"""130 bits."""
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 1.0, 300.0
REASONS: dict[int, FailureReason] = {403: "forbidden", 404: "not_found", 413: "too_large"}


def txn_id_of(server: str, room_id: str, sender: str, event_id: str, part: str) -> str:
    """The same for the same message, whichever process sends it and however often. The sender belongs in it: Synapse leaves `?user_id=`
    out of what it knows a request by (synapse#2937)."""
    digest = sha256("|".join((server, room_id, sender, event_id, part)).encode()).digest()
    return base64.b32encode(digest).decode()[:TXN_CHARACTERS]


def wait_of(attempts: int, chance: float) -> timedelta:
    """Before the next attempt, when so many have failed: doubled each time up to five minutes, and spread by `chance` in [0, 1)."""
    seconds = min(BACKOFF_SECONDS * 2 ** min(attempts - 1, 20), BACKOFF_SECONDS_MAX)
    return timedelta(seconds=seconds * (0.5 + chance / 2))


def reason_of(status: int) -> FailureReason:
    return REASONS.get(status, "refused")


def is_final(status: int) -> bool:
    """Whether asking again cannot help."""
    return 400 <= status < 500 and status not in (401, 408, 425, 429)
