"""Which blob store an installation has: a folder of its own, or an S3."""

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from parvis_kit.clock import Clock
from parvis_kit.settings import Platform, SettingsRefused

from parvis_files.blobs import BlobStore
from parvis_files.blobs.folder import FolderStore
from parvis_files.blobs.signing import Signer

FOLDER = "blobs"
REGION = "us-east-1"
"""What a store takes for its own that has no regions."""


def open_store(url: str, secret_file: Path | None, public: str, platform: Platform, clock: Clock) -> BlobStore:
    """`url`: empty for the folder, else http(s)://ACCESS_KEY@HOST[:PORT]/BUCKET[?region=…]. Raises SettingsRefused."""
    own = (platform.public_url or f"http://{platform.host}:{platform.port}").rstrip("/")
    if not url:
        return FolderStore(platform.data / FOLDER, own)
    from parvis_files.blobs.s3 import Place, S3Store  # aiohttp's client and an XML parser, which a folder does without

    parts = urlsplit(url)
    bucket = parts.path.strip("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username or not bucket or "/" in bucket or parts.password:
        raise SettingsRefused(
            "PARVIS_FILES_BLOBS_URL: http(s)://ACCESS_KEY@HOST[:PORT]/BUCKET, the secret in PARVIS_FILES_BLOBS_SECRET_FILE"
        )
    if secret_file is None:
        raise SettingsRefused("PARVIS_FILES_BLOBS_SECRET_FILE: a file that holds the secret of the access key")
    try:
        secret = secret_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"PARVIS_FILES_BLOBS_SECRET_FILE: {secret_file} cannot be read: {error}") from None
    endpoint = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    region = parse_qs(parts.query).get("region", [REGION])[0]
    origin = own if platform.public_url else ""
    return S3Store(
        Place(endpoint, (public or endpoint).rstrip("/"), bucket, Signer(unquote(parts.username), secret, region), origin), clock
    )
