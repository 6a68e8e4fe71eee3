"""What production does to processes: each is killed, frozen or told to stop, at random; and traffic whose every acknowledgement counts."""

import asyncio
import math
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import sqlalchemy as sa
from parvis_kit.clock import utc_now
from parvis_kit.db import Database
from parvis_kit.events.operate import lag, outbox, parked
from parvis_kit.events.ports import Gone
from parvis_suite.assembly import flow_of, log_of
from parvis_suite.services import build_all
from yarl import URL

from .running import Client, NotYet, patiently
from .shape import Shape

FAULTS = ("kill", "freeze", "stop")
FROZEN_SECONDS = (1.0, 8.0)
"""Kafka and the relays give a leader up after several seconds: some freezes are longer, some shorter."""
PAUSE_SECONDS = (0.5, 4.0)
"""Between two faults: often before what the first one did is healed."""
DRIVEN = ("received", "scanning")
"""The states of an upload in which its sender has done all that was theirs to do."""
FILES = "/api/files/v1"
MATRIX = "/_matrix/client/v3"
PAGE = 100
NAME = re.compile(r"[0-9a-f]{32}\.bin")
"""Of a file of this traffic, in whatever language it is told."""


@dataclass
class Fire:
    """One thread that shoots; what it does follows from its seed alone."""

    shape: Shape
    random: Random
    rounds: int
    shots: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    last: float = 0.0
    """When the last fault was over."""

    def run(self) -> None:
        for number in range(self.rounds):
            names = sorted(self.shape.processes)
            self.random.shuffle(names)
            for name in names:
                if self.over.is_set():
                    return
                self.shoot(name, self.random.choice(FAULTS))
                self.over.wait(self.random.uniform(*PAUSE_SECONDS))
            # A command that runs in this process meanwhile has taken `sys.stdout`, and would read this as its own answer.
            print(f"round {number + 1}: {dict(sorted(self.shots.items()))}", file=sys.__stdout__, flush=True)

    def shoot(self, name: str, fault: str) -> None:
        """One process, or one with all that it has started. What is being started again already has had its share."""
        everyone, frozen = self.shape.pids_of(name), self.random.uniform(*FROZEN_SECONDS)
        if not everyone:
            return
        victim = self.random.choice(everyone)
        if fault == "freeze":
            for pid in everyone:
                send(pid, signal.SIGSTOP)
            try:
                self.over.wait(frozen)
            finally:
                for pid in everyone:
                    send(pid, signal.SIGCONT)
        elif fault == "kill":
            send(victim, signal.SIGKILL)
        elif pid := self.shape.processes[name]["pid"]:
            send(pid, signal.SIGTERM)
        self.shots[f"{name} {fault}"] += 1
        self.last = time.monotonic()


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class Left(NamedTuple):
    """What waits: how many, and the age of the oldest."""

    count: int
    seconds: float


async def waiting(shape: Shape) -> dict[str, Left]:
    """What is not where it should be yet: facts in outboxes, to be handled, parked; uploads that nobody but the suite drives on;
    messages that the homeserver has not got. Raises NotYet."""
    found: dict[str, Left] = {}
    services = build_all(shape.platform)
    try:
        log = log_of(shape.platform)
        for service in services:
            flow = flow_of(service, log)
            unsent = await outbox(flow)
            found[f"{service.name} outbox"] = Left(unsent.facts, unsent.seconds)
            for one in await lag(flow):
                found[f"{one.consumer} behind {one.publisher}"] = Left(one.facts, one.seconds)
            found[f"{service.name} parked"] = Left(len(await parked(service.database)), math.inf)
            tables = service.metadata.tables
            if service.name == "files":
                upload = tables["files.upload"].c
                found["uploads"] = await left(service.database, upload.changed_at, upload.state.in_(DRIVEN))
            if service.name == "messaging":
                delivery = tables["messaging.delivery"].c
                found["deliveries"] = await left(service.database, delivery.created_at, delivery.state != "parked")
    except Gone as gone:
        raise NotYet(str(gone)) from None
    finally:
        for service in services:
            await service.database.close()
    return {what: one for what, one in found.items() if one.count}


async def left(database: Database, since: sa.ColumnElement[datetime], *these: sa.ColumnElement[bool]) -> Left:
    async with database.read() as conn:
        count, oldest = (await conn.execute(sa.select(sa.func.count(), sa.func.min(since)).where(*these))).one()
    return Left(count, (utc_now() - oldest).total_seconds() if oldest else 0.0)


@dataclass
class Traffic:
    """Two agents of the demonstration: one stores files, shares each with the other, and writes to the team; until told to stop."""

    shape: Shape
    giver: Any
    taker: Any
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    stored: dict[str, str] = field(default_factory=dict)
    """Acknowledged: file → SHA-256 of what was sent."""
    shared: list[str] = field(default_factory=list)
    """Acknowledged: the names of shared files."""
    written: list[str] = field(default_factory=list)
    """Acknowledged: messages."""
    counted: Counter[str] = field(default_factory=Counter)
    """What billing had counted of the giver before."""

    async def begin(self, session: aiohttp.ClientSession) -> None:
        self.counted = await counted(self.shape, self.giver["id"])
        self.client = Client(self.shape, session, self.giver["token"])
        self.matrix = await signed_in(self.shape, session, self.giver)
        rooms = (await self.matrix.ask("GET", f"{MATRIX}/joined_rooms"))["joined_rooms"]
        self.room = [room for room in rooms if await is_of_team(self.matrix, room)][0]
        space = await self.client.ask("GET", f"{FILES}/spaces/personal")
        self.root = space["root_id"]

    async def go_on(self, pause_seconds: float = 0.5) -> None:
        """One thing after the other, asked again under the same key until it is acknowledged."""

        async def repeat(act: Callable[[], Awaitable[None]]) -> None:
            while not self.stopping.is_set():
                await act()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_seconds):
                        await self.stopping.wait()

        await asyncio.gather(repeat(self.store), repeat(self.write))

    async def store(self) -> None:
        key = uuid4().hex
        content, name = os.urandom(2000), f"{key}.bin"
        declared = {"name": name, "size_bytes": len(content), "sha256": sha256(content).hexdigest()}
        upload = await self.client.ask("POST", f"{FILES}/folders/{self.root}/uploads", declared, key)
        while upload["state"] != "committed":
            if upload["state"] == "open" or upload.get("put"):
                put = upload.get("put") or (await self.client.ask("GET", f"{FILES}/uploads/{upload['id']}"))["put"]
                assert await self.client.send(put, content) in (200, 412)
            upload = await self.client.ask("POST", f"{FILES}/uploads/{upload['id']}/complete", {}, early=(401, 404, 409, 503))
        self.stored[upload["file_id"]] = declared["sha256"]
        share = {"grantee_kind": "agent", "grantee_id": self.taker["id"], "role": "reader"}
        await self.client.ask("POST", f"{FILES}/items/{upload['file_id']}/shares", share, f"{key}-share")
        self.shared.append(name)

    async def write(self) -> None:
        text = uuid4().hex
        path = f"{MATRIX}/rooms/{self.room}/send/m.room.message/{text}"
        await self.matrix.ask("PUT", path, {"msgtype": "m.text", "body": text}, early=(401, 403, 404, 429, 503))
        self.written.append(text)

    # what must hold when it is over

    async def check(self, session: aiohttp.ClientSession) -> None:
        """Raises NotYet while something has not come; fails when something has come twice, or is not what was sent."""
        assert self.stored and self.shared and self.written, "otherwise this proves nothing"
        for file_id, digest in self.stored.items():
            found = await self.client.ask("GET", f"{FILES}/files/{file_id}/download")
            async with session.get(URL(found["url"], encoded=True)) as answer:
                assert answer.status == 200 and sha256(await answer.read()).hexdigest() == digest == found["sha256"], file_id
        exactly_once("messages to the team", self.written, await texts_in(self.matrix, self.room))
        taker = await signed_in(self.shape, session, self.taker)
        told: list[str] = []
        for room in (await taker.ask("GET", f"{MATRIX}/joined_rooms"))["joined_rooms"]:
            told += [name for text in await texts_in(taker, room) for name in set(NAME.findall(text))]
        exactly_once("notices of shares", self.shared, told)
        more = await counted(self.shape, self.giver["id"])
        more.subtract(self.counted)
        wanted = {"files.actions": len(self.stored) + len(self.shared), "messaging.messages": len(self.written)}
        assert all(more[meter] <= number for meter, number in wanted.items()), f"a fact was applied twice: {more}, {wanted}"
        if any(more[meter] < number for meter, number in wanted.items()):
            raise NotYet(f"billing has counted {more} of {wanted}")


def exactly_once(what: str, wanted: list[str], found: list[str]) -> None:
    came = Counter(found)
    assert not [one for one in wanted if came[one] > 1], f"{what}: some came twice"
    if lost := [one for one in wanted if not came[one]]:
        raise NotYet(f"{what}: {len(lost)} of {len(wanted)} have not come, {lost[0]} for one")


async def signed_in(shape: Shape, session: aiohttp.ClientSession, agent: Any) -> Client:
    """To Matrix."""
    user = {"type": "m.id.user", "user": agent["matrix"]["user_id"]}
    body = {"type": "m.login.password", "identifier": user, "password": agent["matrix"]["password"], "device_id": f"T{uuid4().hex[:8]}"}
    nobody = Client(shape, session, "")
    nobody.headers = {}
    said = await nobody.ask("POST", f"{MATRIX}/login", body, early=(401, 403, 404, 429, 503))
    matrix = Client(shape, session, said["access_token"])
    invited = (await matrix.ask("GET", f"{MATRIX}/sync?timeout=0"))["rooms"].get("invite", {})
    for room in invited:
        await matrix.ask("POST", f"{MATRIX}/join/{room}", {})
    return matrix


async def is_of_team(matrix: Client, room: str) -> bool:
    state = await matrix.ask("GET", f"{MATRIX}/rooms/{room}/state")
    return any(one["type"] == "fr.parvis.link" and one["content"].get("team_id") for one in state)


async def texts_in(matrix: Client, room: str) -> list[str]:
    """Everything that was ever said there."""
    found: list[str] = []
    start = ""
    while True:
        page = await matrix.ask("GET", f"{MATRIX}/rooms/{room}/messages?dir=b&limit={PAGE}{f'&from={start}' if start else ''}")
        found += [one["content"].get("body", "") for one in page["chunk"] if one["type"] == "m.room.message"]
        if not page["chunk"] or not page.get("end") or page["end"] == start:
            return found
        start = page["end"]


async def counted(shape: Shape, agent_id: str) -> Counter[str]:
    """What an agent has done in all, by meter, as billing has it."""
    [billing] = build_all(shape.platform, ["billing"])

    async def once() -> Counter[str]:
        usage = billing.metadata.tables["billing.usage_day"].c
        sums = sa.select(usage.meter, sa.func.sum(usage.quantity)).where(usage.agent_id == agent_id).group_by(usage.meter)
        async with billing.database.read() as conn:
            return Counter({meter: int(quantity) for meter, quantity in await conn.execute(sums)})

    try:
        found: Counter[str] = await patiently(once)
        return found
    finally:
        await billing.database.close()
