"""What may be set."""

from parvis_kit import settings
from pydantic_settings import SettingsConfigDict


class Settings(settings.Settings):
    model_config = SettingsConfigDict(env_prefix="PARVIS_BILLING_")

    greeting: str = "Welcome aboard."
    """What an agent reads who has joined."""
