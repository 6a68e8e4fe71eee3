"""How the demonstration's agents come aboard: each ministry's file, by the door that ministries use."""

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import aiohttp

from parvis_suite.demo_doors import ANSWER_SECONDS_MAX, LOOK_SECONDS, PATIENCE_SECONDS_MAX, Unexpected, answered

TITLES = ("Matricule", "Nom", "Prénom", "Courriel", "Direction", "Langue", "Type", "Date de départ")


@dataclass(frozen=True, slots=True)
class Newcomer:
    external_id: str
    ministry_id: str
    given_name: str
    family_name: str
    email: str
    directorate: str
    language: str
    roles: tuple[str, ...] = ()
    leaves_on: date | None = None
    """A guest's last day."""

    def line(self) -> list[str]:
        kind, end = ("invité", f"{self.leaves_on:%d/%m/%Y}") if self.leaves_on else ("agent", "")
        return [self.external_id, self.family_name, self.given_name, self.email, self.directorate, self.language, kind, end]


async def come_aboard(base_url: str, token: str, newcomers: Sequence[Newcomer]) -> None:
    """By the operator whose token it is; done again after an interruption, it does the rest. Raises Unexpected."""
    headers = {"Authorization": f"Bearer {token}"}
    limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(base_url, headers=headers, timeout=limit) as session:
        for ministry_id in sorted({one.ministry_id for one in newcomers}):
            await bring(session, ministry_id, [one for one in newcomers if one.ministry_id == ministry_id])
        await give_roles(session, [one for one in newcomers if one.roles])


async def bring(session: aiohttp.ClientSession, ministry_id: str, newcomers: Sequence[Newcomer]) -> None:
    """Dry run, confirmation, and until it is done."""
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows([TITLES, *(one.line() for one in newcomers)])
    content = file.getvalue().encode("cp1252")
    # Begun again on another day it is another file, in which a guest's time ends later.
    named = f"demo-{ministry_id}-{sha256(content).hexdigest()[:16]}"
    job = await answered(
        session, "POST", f"/api/directory/v1/ministries/{ministry_id}/onboardings", data=content,
        headers={"Content-Type": "text/csv", "Idempotency-Key": named},
    )  # fmt: skip
    path = f"/api/directory/v1/onboardings/{job['id']}"
    if (await answered(session, "GET", path))["state"] == "draft":  # the answer that is repeated is the first one
        await answered(session, "POST", f"{path}/confirm", json={})
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while (job := await answered(session, "GET", path))["finished_at"] is None:
        if asyncio.get_running_loop().time() > until:
            raise Unexpected(f"the file of ministry {ministry_id} is not worked through: {job}")
        await asyncio.sleep(LOOK_SECONDS)


async def give_roles(session: aiohttp.ClientSession, newcomers: Sequence[Newcomer]) -> None:
    """A file makes agents; who administers, an operator says."""
    roles = {one.email: list(one.roles) for one in newcomers}
    for ministry_id in sorted({one.ministry_id for one in newcomers}):
        page = await answered(session, "GET", f"/api/directory/v1/agents?limit=100&ministry_id={ministry_id}")
        for one in page["items"]:
            if not set(roles.get(one["email"], ())) <= set(one["roles"]):
                headers = {"If-Match": f'"{one["revision"]}"'}
                await answered(
                    session, "PATCH", f"/api/directory/v1/agents/{one['id']}", json={"roles": roles[one["email"]]}, headers=headers
                )
