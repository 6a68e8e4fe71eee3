"""Another service knows agents by its copy of the directory alone: revoked is refused, and a log that is away stops nobody too soon."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import sqlalchemy as sa
from parvis_directory import actions
from parvis_directory.rules import Asker
from parvis_kit.events import meters
from parvis_kit.testing.databases import Place
from parvis_kit.testing.waiting import until

from .conftest import Desk, Town, basic

REVOKED_SECONDS_MAX = 5.0


async def app_password(town: Town, name: str) -> tuple[str, str]:
    """Its id, and what to send."""
    body = {"name": "client", "scopes": ["directory:read"], "expires_at": (town.clock() + timedelta(days=30)).isoformat()}
    _, made, _ = await town.call("POST", "/api/directory/v1/app-passwords", by=name, body=body)
    return made["id"], basic(f"{name}@interieur.example.org", made["app_password"])


async def ready(desk: Desk) -> None:
    desk.start()

    async def is_complete() -> bool:
        return desk.freshness.is_complete() and await knows_bob(desk)

    await until(is_complete, "the roster has caught up once, with all that there was")


async def knows_bob(desk: Desk) -> bool:
    """And by which key his token is signed: a copy is complete too at the end of a log into which the relay has carried nothing yet."""
    key, agent = (desk.metadata.tables[f"desk.{name}"] for name in ("roster_signing_key", "roster_agent"))
    both = sa.select(sa.exists(sa.select(key)) & sa.exists(sa.select(agent).where(agent.c.id == desk.town.ids["bob"])))
    async with desk.database.read() as conn:
        return bool((await conn.execute(both)).scalar_one())


async def is_refused(desk: Desk, authorization: str) -> bool:
    return await desk.who(authorization) == 401


async def test_before_its_copy_is_complete_nobody_is_let_in(town: Town, desk: Desk) -> None:
    assert await desk.who(f"Bearer {town.tokens['bob']}") == 503


async def test_a_token_and_an_app_password_say_who_is_asking(town: Town, desk: Desk) -> None:
    _, password = await app_password(town, "bob")
    await ready(desk)

    async def is_known() -> bool:
        return await desk.who(password) == 200

    await until(is_known, "the app password is known")
    assert await desk.who(f"Bearer {town.tokens['bob']}") == 200
    assert await desk.who("Bearer nonsense") == 401
    assert await desk.who("") == 401


async def test_who_signs_in_now_works_at_once_however_late_the_log_is(town: Town, desk: Desk) -> None:
    await ready(desk)
    for task in desk.tasks:
        task.cancel()
    await town.add("new", "interieur")
    assert await desk.who(f"Bearer {town.tokens['new']}") == 200


async def test_what_is_revoked_is_refused_elsewhere_within_seconds(town: Town, desk: Desk) -> None:
    password_id, password = await app_password(town, "bob")
    await ready(desk)
    token = f"Bearer {town.tokens['bob']}"
    assert await desk.who(token) == 200
    assert (await town.call("DELETE", f"/api/directory/v1/app-passwords/{password_id}", by="bob"))[0] == 204
    await until(lambda: is_refused(desk, password), "the app password is refused", REVOKED_SECONDS_MAX)
    async with town.directory.database.transaction() as tx:
        await actions.end_sessions(tx, town.ids["bob"], now=town.clock())
    await until(lambda: is_refused(desk, token), "the session's token is refused", REVOKED_SECONDS_MAX)


async def test_a_suspended_agent_is_refused_elsewhere_within_seconds(town: Town, desk: Desk) -> None:
    await ready(desk)
    token, asker = (
        f"Bearer {town.tokens['bob']}",
        Asker(town.ids["ada"], town.ministries["interieur"], frozenset({"ministry_administrator"})),
    )
    async with town.directory.database.transaction() as tx:
        change = actions.Changes(state="suspended")
        await actions.change_agent(tx, asker, town.ids["bob"], change, if_match='"1"', now=town.clock())
    await until(lambda: is_refused(desk, token), "the suspended agent is refused", REVOKED_SECONDS_MAX)


async def test_with_the_log_unreadable_agents_at_work_are_stopped_after_fifteen_minutes_and_not_before(
    town: Town, desk: Desk, place: Place, tmp_path: Path
) -> None:
    async with readable_log(desk, place, tmp_path) as make_unreadable:
        await ready(desk)
        token = f"Bearer {town.tokens['bob']}"
        await make_unreadable()
        await until(is_stalled(desk), "the roster's consumer has noticed")
        reached = desk.freshness.reached_end_at
        assert reached is not None
        town.clock.now = reached + timedelta(seconds=14)
        assert await desk.late(token) is None
        town.clock.now = reached + timedelta(seconds=90)
        assert await desk.late(token) == "90", "whoever reads is told how old this is"
        town.clock.now = reached + timedelta(minutes=15)
        assert await desk.who(token) == 200
        town.clock.now = reached + timedelta(minutes=15, seconds=1)
        assert await desk.who(token) == 503
        town.clock.now = reached - timedelta(minutes=40)
        assert await desk.who(token) == 503, "a clock that is set back makes nothing young again"


async def test_when_the_log_can_be_read_again_everybody_is_let_in_again(town: Town, desk: Desk, place: Place, tmp_path: Path) -> None:
    async with readable_log(desk, place, tmp_path) as make_unreadable:
        await ready(desk)
        token = f"Bearer {town.tokens['bob']}"
        make_readable = await make_unreadable()
        await until(is_stalled(desk), "the roster's consumer has noticed")
        town.clock.now += timedelta(minutes=16)
        assert await desk.who(token) == 503
        await make_readable()

        async def is_let_in() -> bool:
            return await desk.who(token) == 200

        await until(is_let_in, "the copy is fresh again")


Undo = Callable[[], Awaitable[None]]


@asynccontextmanager
async def readable_log(desk: Desk, place: Place, folder: Path) -> AsyncIterator[Callable[[], Awaitable[Undo]]]:
    """How directory's log is made unreadable, and readable again: its file is moved, or the reader's grant is revoked."""
    if place.server is None:
        log, elsewhere = folder / "directory.db", folder / "elsewhere.db"

        async def put_back() -> None:
            shutil.move(elsewhere, log)

        async def move() -> Undo:
            shutil.move(log, elsewhere)
            return put_back

        yield move
        return
    url = sa.make_url(desk.database.url)
    role = f"reader_of_{url.database}"
    admin = await asyncpg.connect(place.url_of("any"))

    async def grant() -> None:
        await admin.execute(f"GRANT SELECT ON directory.log, directory.log_head TO {role}")

    async def revoke() -> Undo:
        await admin.execute(f"REVOKE SELECT ON directory.log FROM {role}")
        return grant

    try:
        await admin.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA directory TO {role}")
        await grant()
        desk.reads_as = url.set(username=role).render_as_string(hide_password=False)
        yield revoke
    finally:
        await desk.close()
        await admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await admin.close()


def is_stalled(desk: Desk) -> Callable[[], Awaitable[bool]]:
    reader = desk.service.projections[0].consumer

    async def look() -> bool:
        return bool(meters.STALLED.labels(reader)._value.get())

    return look
