"""Uploads: one's own, and nobody else's."""

from collections.abc import Iterable
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.http import Page
from parvis_kit.problems import Forbidden, NotFound

from parvis_files.rules import Asker
from parvis_files.rules.uploads import Upload
from parvis_files.store import access, uploads


async def upload_for(conn: Connection, asker: Asker, upload_id: UUID, *, lock: bool = False) -> Upload:
    """Raises NotFound: another's is answered like none."""
    found = await uploads.find_upload(conn, upload_id, lock=lock)
    if found is None or found.agent_id != asker.id:
        raise NotFound(f"There is no upload {upload_id}.")
    return found


async def uploads_for(conn: Connection, asker: Asker, before: UUID | None, limit: int) -> Page[Upload]:
    """The newest first: what is going on, and receipts."""
    found = await uploads.uploads_of(conn, asker.id, before, limit)
    return Page(found, str(found[-1].id) if len(found) == limit else None)


async def known_parents(conn: Connection, asker: Asker, found: Iterable[Upload]) -> set[UUID]:
    """Where they go, as far as the asker knows it: whoever sends a version of a file need not see the folder that it lies in."""
    some = list(found)
    known = {one.parent_id for one in some if not _of_a_file(one)}
    asked = {one.parent_id for one in some} - known
    return known | set(await access.visible(conn, asker, asked, in_trash=None, need=None))


def _of_a_file(one: Upload) -> bool:
    return one.conflict == "version" and one.file_id is not None


async def uploads_under_way_for(conn: Connection, asker: Asker) -> dict[str, int]:
    """By state. Raises Forbidden."""
    if "operator" not in asker.roles:
        raise Forbidden("Operators of the suite may do this.")
    return await uploads.states(conn)
