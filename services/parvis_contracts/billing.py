"""What billing says: which months are closed, and that a leaver owes it nothing more."""

from typing import ClassVar
from uuid import UUID

from parvis_kit.events import Fact
from pydantic import Field

from parvis_contracts.leavers import LeaverAcknowledged


class PeriodClosed(Fact):
    """A month's costs are final: what comes later is a correction in an open month. `about` is the month."""

    type: ClassVar = "billing.period.closed.v1"
    month: str = Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    run_id: UUID
    postings_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    total_cents: int


class LeaverSettled(LeaverAcknowledged):
    """The seat of an agent who left ends with the month."""

    type: ClassVar = "billing.leaver.settled.v1"
