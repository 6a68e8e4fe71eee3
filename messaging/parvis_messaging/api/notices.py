"""What the portal asks: notices, what was read, preferences, and the agent's own account."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from aiohttp import web
from parvis_kit.http import DB, Body, Page, Query, Request, Routes
from parvis_kit.problems import Invalid
from parvis_roster import AGENT
from pydantic import Field
from pydantic.dataclasses import dataclass as shown

from parvis_messaging import actions
from parvis_messaging.api.matrix_common import HOME
from parvis_messaging.queries import notices, sessions
from parvis_messaging.rules.notices import PREFERENCE_KINDS, NoticeKind, PreferenceKind, SubjectKind

ROUTES = Routes("messaging", "1")
READ_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Configured:
    """Where the suite and its homeserver are reached."""

    public_url: str


PLACES = web.RequestKey("PLACES", Configured)


class Listing(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[int | None, Field(ge=0, le=2**53, description="`next` of the page before.")] = None
    unread: Annotated[bool, Field(description="Those alone that were not read yet.")] = False


@shown(slots=True)
class NoticeText:
    title: str
    detail: str
    link: str


@shown(slots=True)
class NoticeShown:
    id: UUID
    kind: NoticeKind
    subject_kind: SubjectKind
    subject_id: UUID | None
    team_id: UUID | None
    """The team that was told; None when it was you."""
    actor_id: UUID | None
    """Who has done it."""
    at: datetime
    read: bool
    text: NoticeText
    """In your language."""


class WasRead(Body):
    ids: Annotated[list[Annotated[UUID, Field(strict=False)]], Field(max_length=READ_AT_ONCE)] = []
    all: Annotated[bool, Field(description="Whatever there is now; `ids` are left out then.")] = False


class Channels(Body):
    matrix: bool
    """As a message."""
    portal: bool
    """In the list of notices."""


class Preferences(Body):
    kinds: Annotated[dict[PreferenceKind, Channels], Field(max_length=len(PREFERENCE_KINDS))]


@shown(slots=True)
class ChannelsShown:
    matrix: bool
    portal: bool


@shown(slots=True)
class PreferencesShown:
    kinds: dict[PreferenceKind, ChannelsShown]
    """A welcome, and the echo of your own answer, always come."""


@shown(slots=True)
class AccountShown:
    user_id: str | None
    """Null until your account is made, moments after you came aboard."""
    server_name: str
    homeserver_url: str
    """What to type into a Matrix client as its homeserver; the password is an app password for messages."""


@ROUTES.get("/api/messaging/v1/notices", scope="messaging:read")
async def list_notices(request: Request, query: Listing) -> Page[NoticeShown]:
    """What you and your teams were told in the last six months, the newest first."""
    async with request[DB].read() as conn:
        found, following = await notices.notices_for(
            conn, request[AGENT].id, query.after, query.limit, unread=query.unread, public_url=request[PLACES].public_url
        )
    return Page([show(one) for one in found], following)


def show(one: notices.Told) -> NoticeShown:
    notice, words = one.notice, one.words
    return NoticeShown(
        notice.id, notice.kind, notice.subject_kind, notice.subject_id, notice.team_id, notice.actor_id, notice.at, one.is_read,
        NoticeText(words.title, words.detail, words.link),
    )  # fmt: skip


@ROUTES.post("/api/messaging/v1/notices/read", scope="messaging:write", status=204)
async def mark_read(request: Request, body: WasRead) -> None:
    """These, or all; what was not told to you is passed over."""
    if not body.ids and not body.all:
        raise Invalid("Say which notices were read, by `ids`, or `all`.")
    async with request[DB].transaction() as tx:
        if body.all:
            await actions.mark_all_read(tx, request[AGENT].id)
        else:
            await actions.mark_read(tx, request[AGENT].id, body.ids)


@ROUTES.get("/api/messaging/v1/preferences", scope="messaging:read")
async def read_preferences(request: Request) -> PreferencesShown:
    """By which way you hear of what."""
    async with request[DB].read() as conn:
        found = await notices.preferences_for(conn, request[AGENT].id)
    return PreferencesShown({kind: ChannelsShown(*found[kind]) for kind in PREFERENCE_KINDS})


@ROUTES.put("/api/messaging/v1/preferences", scope="messaging:write")
async def put_preferences(request: Request, body: Preferences) -> PreferencesShown:
    """Choose for these kinds; the others stay as they are. It counts for what is delivered from now on."""
    chosen = {kind: (one.matrix, one.portal) for kind, one in body.kinds.items()}
    async with request[DB].transaction() as tx:
        await actions.put_preferences(tx, request[AGENT].id, chosen)
        found = await notices.preferences_for(tx, request[AGENT].id)
    return PreferencesShown({kind: ChannelsShown(*found[kind]) for kind in PREFERENCE_KINDS})


@ROUTES.get("/api/messaging/v1/account", scope="messaging:read")
async def read_account(request: Request) -> AccountShown:
    """Your Matrix account, and what to type into a client."""
    async with request[DB].read() as conn:
        account = await sessions.account_of(conn, request[AGENT].id)
    return AccountShown(account.user_id if account else None, request[HOME].server, request[PLACES].public_url)
