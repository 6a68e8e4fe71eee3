"""What files may be told."""

from pathlib import Path

from parvis_kit import settings
from pydantic import Field

GIB = 2**30


class Settings(settings.Settings):
    env_prefix = "PARVIS_FILES_"

    upload_bytes_max: int = Field(default=20 * GIB, ge=1, le=5_000 * GIB)
    """The largest file that may be sent: the announced size is refused before any byte travels."""
    personal_quota_bytes: int = Field(default=10 * GIB, ge=0)
    """What each agent's personal space may hold."""
    space_quota_bytes: int = Field(default=100 * GIB, ge=0)
    """What each shared space may hold."""
    ministry_quota_bytes: int = Field(default=100_000 * GIB, ge=0)
    """What all spaces of a ministry may hold together."""
    upload_minutes: float = Field(default=1440, gt=0, le=43_200)
    """How long an upload may lie still before it is given up and its place is given back."""
    orphan_minutes: float = Field(default=1440, gt=0, le=43_200)
    """How long bytes that nothing refers to are kept, once before they are marked and once before they are deleted."""
    blobs_url: str = ""
    """The S3 that holds the bytes, as http(s)://ACCESS_KEY@HOST[:PORT]/BUCKET; by default a folder in PARVIS_DATA does."""
    blobs_secret_file: Path | None = None
    """A file that holds the secret of the access key, so that it stays out of the environment."""
    blobs_public: str = ""
    """Where agents reach that S3, as https://HOST[:PORT]; by default where PARVIS_FILES_BLOBS_URL says."""
    scanner: str = Field(default="off", pattern="^off$")
    """What looks for viruses before a file can be read; this version has no scanner, and says so."""
