"""What directory's doors share: who asks, texts without control characters, and the page that is asked for."""

from typing import Annotated, TypeVar
from uuid import UUID

from parvis_kit.http import CLOCK, IdempotencyKey, Query, Reply, Request, etag
from parvis_kit.idempotency import Asked
from parvis_roster import AGENT
from pydantic import BaseModel, Field

from parvis_directory.rules import Asker, Ministry, Person, Team

Thing = TypeVar("Thing", Person, Ministry, Team)
Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
Email = Annotated[str, Field(min_length=6, max_length=254, pattern=r"^[^\x00-\x20\x7f]+$")]


class Paging(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[UUID | None, Field(description="`next` of the page before.")] = None


def asker_of(request: Request) -> Asker:
    agent = request[AGENT]
    return Asker(agent.id, agent.ministry_id, agent.roles)


def asked(request: Request, key: IdempotencyKey, act: str, body: BaseModel) -> Asked:
    return Asked(request[AGENT].id, key, act, body, request[CLOCK]())


def tagged(thing: Thing) -> Reply[Thing]:
    return Reply(thing, {"ETag": etag(thing.revision)})
