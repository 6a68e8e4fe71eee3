"""sync-collection: nothing is lost between two tokens, whatever the limits; tokens that cannot be believed are refused."""

import random

import pytest
from parvis_kit.testing.databases import queries

from .conftest import Desk, event


async def follow(desk: Desk, known: set[str], token: str, limit: int = 0) -> str:
    """As a client does: page by page, until a page is whole."""
    while True:
        page = await desk.sync(desk.agenda(), token, limit)
        assert page.status == 207
        truncated = False
        for response in page.root.iterfind("{DAV:}response"):
            href, status = response.findtext("{DAV:}href"), response.findtext("{DAV:}status") or ""
            if href == desk.agenda():
                truncated = "507" in status
            elif "404" in status:
                known.discard(href)
            else:
                known.add(href)
        [token] = page.texts("D:sync-token")
        if not truncated:
            return token


@pytest.mark.parametrize("limit", [1, 2, 3, 0])
async def test_a_client_that_follows_in_pages_knows_what_there_is(desk: Desk, limit: int) -> None:
    choose = random.Random(limit)
    known: set[str] = set()
    there: set[str] = set()
    token = ""
    for _ in range(6):
        for _ in range(5):
            name = f"{desk.agenda()}{choose.randrange(8)}.ics"
            if name in there and choose.random() < 0.5:
                await desk.dav("DELETE", name)
                there.remove(name)
            else:
                await desk.put(name, event(name, title=str(choose.random())))
                there.add(name)
        token = await follow(desk, known, token, limit)
        assert known == there


async def test_a_page_that_is_cut_says_so_and_its_token_goes_on_there(desk: Desk) -> None:
    for number in range(5):
        await desk.put(f"{desk.agenda()}{number}.ics", event(f"u{number}"))
    first = await desk.sync(desk.agenda(), limit=2)
    assert first.of(desk.agenda()).findtext("{DAV:}status") == "HTTP/1.1 507 Insufficient Storage"
    assert b"number-of-matches-within-limits" in first.body
    second = await desk.sync(desk.agenda(), first.texts("D:sync-token")[0])
    assert len(second.hrefs) == 3 and not set(first.hrefs) & set(second.hrefs)


async def test_a_poll_that_finds_nothing_new_asks_who_it_is_and_where_the_agenda_stands(desk: Desk) -> None:
    """Nine polls of ten do, of each agent's each device, every few minutes."""
    await desk.put(f"{desk.agenda()}1.ics", event("u1"))
    [token] = (await desk.sync(desk.agenda())).texts("D:sync-token")
    with queries(desk.calendar.database) as sent:
        poll = await desk.sync(desk.agenda(), token)
    assert (poll.hrefs, poll.texts("D:sync-token"), len(sent)) == ([], [token], 2)


@pytest.mark.parametrize("token", ["data:,1", "urn:parvis:sync:x:1:1", "http://example.org/1"])
async def test_a_token_of_somebody_else_s_is_refused(desk: Desk, token: str) -> None:
    refused = await desk.sync(desk.agenda(), token)
    assert (refused.status, refused.precondition) == (403, "valid-sync-token")


async def test_a_token_of_the_future_of_another_agenda_or_of_another_life_is_refused(desk: Desk) -> None:
    [token] = (await desk.sync(desk.agenda())).texts("D:sync-token")
    head, seq = token.rsplit(":", 1)
    base, epoch = head.rsplit(":", 1)
    for bad in (f"{head}:{int(seq) + 1}", f"{base}:{int(epoch) + 1}:{seq}"):
        assert (await desk.sync(desk.agenda(), bad)).precondition == "valid-sync-token"
    assert (await desk.sync(desk.agenda(agenda="tasks"), token)).precondition == "valid-sync-token"


async def test_after_a_restore_every_token_is_refused(desk: Desk) -> None:
    from parvis_calendar import actions

    [token] = (await desk.sync(desk.agenda())).texts("D:sync-token")
    async with desk.calendar.database.transaction() as tx:
        await actions.renew_epochs(tx, desk.calendar.clock())
    assert (await desk.sync(desk.agenda(), token)).precondition == "valid-sync-token"


async def test_deletions_that_are_forgotten_take_old_tokens_with_them(desk: Desk) -> None:
    from parvis_calendar import actions

    await desk.put(desk.agenda() + "a.ics", event("a"))
    [old] = (await desk.sync(desk.agenda())).texts("D:sync-token")
    await desk.dav("DELETE", desk.agenda() + "a.ics")
    [new] = (await desk.sync(desk.agenda())).texts("D:sync-token")
    desk.later(days=401)
    await actions.forget_tombstones(desk.calendar.database, desk.clock)
    assert (await desk.sync(desk.agenda(), old)).precondition == "valid-sync-token"
    assert (await desk.sync(desk.agenda(), new)).status == 207


async def test_a_name_that_lives_again_is_told_once(desk: Desk) -> None:
    path = desk.agenda() + "a.ics"
    await desk.put(path, event("a"))
    [token] = (await desk.sync(desk.agenda())).texts("D:sync-token")
    await desk.dav("DELETE", path)
    etag = (await desk.put(path, event("a"))).headers["ETag"]
    page = await desk.sync(desk.agenda(), token)
    assert page.hrefs == [path] and page.texts(".//D:getetag") == [etag]


async def test_the_first_sync_gives_data_when_it_is_asked_for(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a.ics", event("a", title="<&>"))
    page = await desk.sync(desk.agenda(), props="<D:getetag/><C:calendar-data/>")
    assert page.texts(".//C:calendar-data") == [event("a", title="<&>").decode()]
