"""Health, for operators: how each service is, and what is parked repaired."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from parvis_contracts.files import FileStored
from parvis_kit.events.ledger import SqlLedger
from parvis_kit.events.ports import Parked, Record
from parvis_kit.events.publish import seal
from parvis_kit.testing.waiting import until
from parvis_suite.services import build as build_service


async def test_the_health_page_shows_every_service_and_what_is_parked_is_discarded_with_a_reason(visit: Any) -> None:
    visitor = await visit("operator")
    text = await visitor.see("/health")
    assert text.count('class="card block"') == 5 and "tag good" in text
    await visitor.post("/health/files/discard", {"consumer": "files", "topic": "parvis.directory.agent", "key": "none", "reason": "essai"})
    assert visitor.status == 404, "nothing is parked under that key"
    await visitor.post("/health/files/discard", {"consumer": "files", "topic": "parvis.directory.agent", "key": "none", "reason": " "})
    assert visitor.status == 422
    stranger = await visit("agent")
    for method, path in [("GET", "operations"), ("POST", "operations/replay"), ("POST", "operations/discard")]:
        body = {"consumer": "files", "topic": "t", "key": "k", **({"reason": "r"} if path.endswith("discard") else {})}
        token = {"Authorization": f"Bearer {stranger.suite.person('agent')['token']}"}
        url = f"{stranger.suite.base}/api/files/v1/{path}"
        async with stranger.session.request(method, url, json=body if method == "POST" else None, headers=token) as answer:
            assert answer.status == 403, path


async def park(suite: Any, key: str) -> None:
    """A fact about `key` that billing's consumer could not apply."""
    billing = build_service("billing", suite.platform)
    try:
        fact = FileStored(
            at=datetime.now(UTC), about=key, file_id=UUID(key), version_id=uuid4(), space_id=uuid4(), space_kind="personal",
            ministry_id=uuid4(), owner_id=uuid4(), stored_by=uuid4(), size_bytes=7, media_type="text/plain",
        )  # fmt: skip
        ledger = SqlLedger(billing.database, "billing", billing.clock)
        async with ledger.transaction() as tx:
            await ledger.park(tx, Parked(Record("files", 2**40, seal(fact, "files")), "bug", "RuntimeError: essai", 3))
    finally:
        await billing.database.close()


@pytest.mark.parametrize("repair", ["replay", "discard"])
async def test_an_operator_replays_or_discards_what_is_parked(visit: Any, repair: str) -> None:
    visitor, key = await visit("operator"), str(uuid4())
    await park(visitor.suite, key)
    text = await visitor.see("/health")
    assert key in text and "RuntimeError: essai" in text
    await visitor.post(
        f"/health/billing/{repair}", {"consumer": "billing", "topic": "parvis.files.file", "key": key, "reason": "essai des pages"}
    )
    assert visitor.status == 200 and 'role="status"' in visitor.text, visitor.text
    assert f"<code>{key}</code>" not in visitor.text


async def test_how_a_service_is_is_looked_at_now_and_then_and_anew_once_an_operator_has_acted(visit: Any) -> None:
    visitor, key = await visit("operator"), str(uuid4())
    url, headers = (
        f"{visitor.suite.base}/api/billing/v1/operations",
        {"Authorization": f"Bearer {visitor.suite.person('operator')['token']}"},
    )

    async def seen() -> Any:
        async with visitor.session.get(url, headers=headers) as answer:
            assert answer.status == 200
            return await answer.json()

    async def is_kept() -> bool:
        return (await seen())["looked_at"] == (await seen())["looked_at"]

    await until(is_kept, "whoever looks again sees the same look", 60)
    await park(visitor.suite, key)
    assert key in {one["key"] for one in (await seen())["parked"]}, "what is parked is of now"
    before = datetime.now(UTC)
    async with visitor.session.post(
        f"{url}/discard", headers=headers, json={"consumer": "billing", "topic": "parvis.files.file", "key": key, "reason": "essai"}
    ) as answer:
        assert answer.status == 200
    after = await seen()
    assert datetime.fromisoformat(after["looked_at"]) >= before and key not in {one["key"] for one in after["parked"]}
    assert {one["publisher"] for one in after["lag"]} and any("facts are parked" in one["what"] for one in after["findings"])
