"""What agents see of a process that is told to stop under load (nothing), and of a Kafka that is away (what is late)."""

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from parvis_suite.demo_agendas import Owner, basic_of

from .fire import FILES, MATRIX, Traffic, waiting
from .overload import ask_for, memory_bytes
from .running import NotYet, patiently
from .shape import Shape

AGENT, OTHER, PAGES = 6, 9, 18
"""Of the demonstration's, who are nothing but agents."""
STOPPED = ("directory", "files", "calendar", "messaging", "billing", "portal", "proxy", "kafka")
"""Those without which nothing that others know is lost. A database or a blob store without a second one is away when it is stopped."""
AWAY_SECONDS = 300.0 if os.environ.get("SOAK") else 20.0


AT_WORK_MAX = 64
"""In a service at once, as infra/proxy/haproxy.cfg says."""
OVERLOAD_SECONDS = 60.0 if os.environ.get("SOAK") else 6.0
GROWN_BYTES_MAX = 24 * 2**20
"""Of all workers together, while ten thousand requests come: a kilobyte that each left behind would be seen in a minute of them."""


@dataclass
class Load:
    """Agents at work who never ask twice: a request that fails is counted."""

    shape: Shape
    agent: Any
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    async def run(self) -> None:
        limits = aiohttp.ClientTimeout(total=90)
        async with aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=0)) as session:
            kinds: list[Callable[[], Awaitable[tuple[str, int]]]] = [
                lambda: self.ask(session, "GET", f"{FILES}/spaces/personal"),
                lambda: self.ask(session, "POST", f"{FILES}/folders/{self.root}/folders", {"name": uuid4().hex}),
                lambda: self.ask(session, "GET", "/api/directory/v1/teams"),
                lambda: self.ask(session, "GET", "/api/calendar/v1/calendars"),
                lambda: self.ask(session, "GET", "/api/messaging/v1/notices"),
                lambda: self.ask(session, "GET", "/api/billing/v1/me"),
                lambda: self.ask(session, "GET", "/sign-in"),
                lambda: self.ask(session, "GET", f"{MATRIX.removesuffix('/v3')}/versions"),
            ]
            self.root = (await self.answer(session, "GET", f"{FILES}/spaces/personal"))["root_id"]
            await asyncio.gather(*(self.repeat(kind) for kind in kinds))

    async def repeat(self, kind: Callable[[], Awaitable[tuple[str, int]]]) -> None:
        while not self.stopping.is_set():
            try:
                what, status = await kind()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                continue
            self.done[what] += 1
            if status >= 400 and not (what.endswith("/me") and status == 404):  # no month of hers has been run yet
                self.failed.append(f"{what}: {status}")
            await asyncio.sleep(0.05)

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> tuple[str, int]:
        mine = {} if path.startswith("/_matrix/") else {"Authorization": f"Bearer {self.agent['token']}"}  # no token of Synapse's
        headers = mine | ({"Idempotency-Key": uuid4().hex} if body else {})
        async with session.request(method, f"{self.shape.base}{path}", json=body, headers=headers) as answer:
            await answer.read()
            return f"{method} {re.sub('[0-9a-f-]{36}', '…', path)}", answer.status

    async def answer(self, session: aiohttp.ClientSession, method: str, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.agent['token']}"}
        async with session.request(method, f"{self.shape.base}{path}", headers=headers) as answer:
            return await answer.json()


def agents_of(shape: Shape) -> list[Any]:
    found: list[Any] = json.loads((shape.folder / "demo.json").read_text())["agents"]
    return found


async def restarted(shape: Shape, name: str, starts: int) -> None:
    async def once() -> None:
        one = shape.processes[name]
        if one["starts"] <= starts or not one["ready"]:
            raise NotYet(f"{name} has not been started again: {one}")

    await patiently(once)


def test_a_process_that_is_told_to_stop_under_load_fails_no_request(distributed: Shape) -> None:
    async def all_of_it() -> None:
        load = Load(distributed, agents_of(distributed)[AGENT])
        going = asyncio.create_task(load.run())
        try:
            for name in STOPPED:
                before = distributed.processes[name]
                os.kill(before["pid"], signal.SIGTERM)
                await restarted(distributed, name, before["starts"])
                print(f"{name}: {sum(load.done.values())} requests, {len(load.failed)} failed", flush=True)
            for name in ("files", "calendar"):  # one worker, while the other goes on
                os.kill(distributed.pids_of(name)[0], signal.SIGTERM)
            [master] = [distributed.processes["proxy"]["server_pid"]]
            os.kill(master, signal.SIGUSR2)  # reads its configuration again
            served = load.done.total()

            async def some_more() -> None:
                if load.done.total() < served + 200:
                    raise NotYet("the load has not gone on yet")

            await patiently(some_more)
        finally:
            load.stopping.set()
            await going
        print(dict(load.done))
        assert len(load.done) == 8 and min(load.done.values()) > len(STOPPED), "each door was asked all the time"
        assert not load.failed, Counter(load.failed)

    asyncio.run(all_of_it())


def test_who_asks_a_process_past_the_proxy_does_notice_its_end(distributed: Shape) -> None:
    """The control of the one before."""

    async def all_of_it() -> None:
        before = distributed.processes["portal"]
        refused = 0
        os.kill(before["pid"], signal.SIGTERM)
        async with aiohttp.ClientSession() as session:
            again = asyncio.create_task(restarted(distributed, "portal", before["starts"]))
            while not again.done():
                try:
                    async with session.get(f"{distributed.address_of('portal')}/livez") as answer:
                        await answer.read()
                except (aiohttp.ClientError, OSError):
                    refused += 1
                await asyncio.sleep(0.02)
            await again
        assert refused

    asyncio.run(all_of_it())


@pytest.mark.soak
def test_five_times_what_a_service_takes_is_answered_or_told_when_to_come_again_in_flat_memory(distributed: Shape) -> None:
    """How long the accepted take is measured by tests/bench/bench_overload.py."""
    url, token = f"{distributed.base}{FILES}/spaces/personal", agents_of(distributed)[AGENT]["token"]
    workers = distributed.pids_of("files")[:-1]
    asyncio.run(ask_for(url, token, at_once=AT_WORK_MAX, seconds=2))  # what is allocated once
    before = sum(memory_bytes(pid) for pid in workers)
    answered = asyncio.run(ask_for(url, token, at_once=5 * AT_WORK_MAX, seconds=OVERLOAD_SECONDS))
    grown = sum(memory_bytes(pid) for pid in workers) - before
    print(f"{answered.told()}; {grown / 2**20:.1f} MiB more in {len(workers)} processes")
    assert not answered.wrong, Counter(answered.wrong)
    assert answered.accepted and len(answered.refused) > len(answered.accepted) / 2
    assert grown < GROWN_BYTES_MAX
    after = asyncio.run(ask_for(url, token, at_once=1, seconds=1))
    assert after.accepted and not after.refused and not after.wrong


@pytest.mark.soak
def test_with_kafka_away_agents_go_on_and_each_page_says_what_is_late(distributed: Shape) -> None:
    """Frozen, so that it is away for as long as we want: nobody gets an answer from it, as from a broker behind a line that was cut."""

    async def all_of_it() -> None:
        agents = agents_of(distributed)
        limits = aiohttp.ClientTimeout(total=60)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(timeout=limits) as session, aiohttp.ClientSession(timeout=limits, cookie_jar=jar) as browser:
            traffic = Traffic(distributed, agents[AGENT], agents[OTHER])
            await traffic.begin(session)
            await sign_in(distributed, browser, agents[PAGES])

            async def nothing_late() -> None:
                if await late_on(distributed, browser, "/files"):
                    raise NotYet("the page says that something is late")

            await patiently(nothing_late)
            for pid in distributed.pids_of("kafka"):
                os.kill(pid, signal.SIGSTOP)
            try:
                going = asyncio.create_task(traffic.go_on(1.0))
                await asyncio.wait((going,), timeout=AWAY_SECONDS)
                for page, words in PAGES_LATE.items():

                    async def told(page: str = page, words: str = words) -> None:
                        if words not in await late_on(distributed, browser, page):
                            raise NotYet(f"{page} does not say what is late")

                    await patiently(told)
                while_away = len(traffic.stored), len(traffic.written)
                assert min(while_away) > 3, "uploads and messages are acknowledged meanwhile"
                assert await meets(distributed, session, agents[AGENT]) == 201
                assert (await waiting_in_outboxes(distributed)) > 0, "and nobody has heard of it"
            finally:
                for pid in distributed.pids_of("kafka"):
                    os.kill(pid, signal.SIGCONT)
            traffic.stopping.set()
            await going

            async def heard() -> None:
                if left := await waiting(distributed):
                    raise NotYet(str(left))

            await patiently(heard)
            await patiently(lambda: traffic.check(session))
            await patiently(nothing_late)
            print(f"away {AWAY_SECONDS:.0f} s and more: {while_away[0]} files and {while_away[1]} messages acknowledged meanwhile")

    asyncio.run(all_of_it())


PAGES_LATE = {"/": "Notifications", "/files": "Fichiers", "/agenda": "Agenda", "/notices": "Notifications", "/cost": "Coûts"}
"""Page → what it says is late."""


async def late_on(shape: Shape, browser: aiohttp.ClientSession, page: str) -> str:
    """What a page says of it; nothing when nothing is late."""
    async with browser.get(f"{shape.base}{page}") as answer:
        text = await answer.text()
    assert answer.status == 200 and "sign-out" in text, text[:500]
    found = re.search(r'<div class="away" role="status">(.*?)</div>', text, re.DOTALL)
    return found[1] if found else ""


async def sign_in(shape: Shape, browser: aiohttp.ClientSession, agent: Any) -> None:
    async with browser.get(f"{shape.base}/sign-in") as answer:
        csrf = re.search(r'name="csrf" (?:content|value)="([^"]+)"', await answer.text())
    form = {"csrf": csrf[1] if csrf else "", "email": agent["email"], "password": agent["password"]}
    async with browser.post(f"{shape.base}/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"}) as answer:
        assert answer.status == 200 and "sign-out" in await answer.text()


async def meets(shape: Shape, session: aiohttp.ClientSession, agent: Any) -> int:
    """An event is put into an agenda, over CalDAV."""
    uid = uuid4().hex
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Parvis//Test//FR", "BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z",
        "DTSTART:20270301T090000Z", "DTEND:20270301T100000Z", "SUMMARY:Point", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    basic = basic_of(Owner(agent["id"], agent["email"], agent["app_password"]))
    headers = {"Authorization": basic, "Content-Type": "text/calendar; charset=utf-8", "If-None-Match": "*"}
    url = f"{agent['dav']['calendar']}{uid}.ics"
    async with session.put(url, data="\r\n".join(lines), headers=headers) as answer:
        return answer.status


async def waiting_in_outboxes(shape: Shape) -> int:
    from parvis_kit.events.ledger import tables_of
    from parvis_suite.services import build_all
    from sqlalchemy import func, select

    found = 0
    for service in build_all(shape.platform):
        async with service.database.read() as conn:
            found += (await conn.execute(select(func.count()).select_from(tables_of(service.name)["outbox"]))).scalar_one()
        await service.database.close()
    return found
