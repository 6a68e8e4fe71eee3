"""What is uploaded into conversations."""

from datetime import datetime
from secrets import token_urlsafe

from parvis_kit.db import Tx

from parvis_messaging.homeserver import Home
from parvis_messaging.rules import Session
from parvis_messaging.rules.matrix import forbidden, too_large
from parvis_messaging.store import accounts, medias


async def upload(tx: Tx, home: Home, session: Session, media_type: str, name: str, content: bytes, *, now: datetime) -> str:
    """Its mxc:// address. Raises Refused beyond the caps."""
    if len(content) > home.media_bytes_max:
        raise too_large(f"At most {home.media_bytes_max} bytes: what is larger belongs into your files, and its link here.")
    await accounts.lock(tx, session.user_id)
    if await medias.bytes_of(tx, session.user_id) + len(content) > home.media_account_bytes_max:
        raise forbidden("You have uploaded as much as an account may: share a link to a file of yours instead.")
    media_id = token_urlsafe(18)
    values = {"media_id": media_id, "user_id": session.user_id, "media_type": media_type, "name": name, "size_bytes": len(content)}
    await medias.add_media(tx, {**values, "content": content, "created_at": now})
    return f"mxc://{home.server}/{media_id}"
