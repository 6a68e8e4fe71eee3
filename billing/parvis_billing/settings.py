"""What may be set."""

from parvis_kit import settings
from pydantic import Field


class Settings(settings.Settings):
    env_prefix = "PARVIS_BILLING_"

    target_eur: int = Field(default=50, ge=1, le=10_000)
    """What an agent may cost a year, in euros: the sentence that the suite perimeter is held against."""
    run_minutes: int = Field(default=60, ge=0, le=1440)
    """How often open months are computed anew; 0: only when `parvis cost run` asks for it."""
