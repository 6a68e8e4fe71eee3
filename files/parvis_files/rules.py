"""What a welcome is; pure, so time comes in as an argument."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Welcome:
    greeting: str
    prepared_at: datetime
