"""What several pages read from a request in the same way."""

from uuid import UUID

from parvis_kit.http import Request
from parvis_kit.problems import NotFound


def id_in(request: Request, name: str) -> str:
    """An id of the path, as services write it: what cannot be one reaches no other path. Raises NotFound."""
    return id_of(request.match_info[name])


def id_of(text: str) -> str:
    """An id. Raises NotFound for what cannot be one."""
    try:
        return str(UUID(text))
    except ValueError:
        raise NotFound("There is no such page.") from None
