"""The ledger in SQL keeps the contract that the model of the simulation keeps: what the simulation shows is true of it too."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit.db import Tx
from parvis_kit.events.facts import Envelope
from parvis_kit.events.ledger import SqlLedger
from parvis_kit.events.ports import Record
from parvis_kit.testing.contract import SCENARIOS, Bench, Scenario
from parvis_kit.testing.stage import STORY, Stage, ThingChanged, tell

AT = datetime(2026, 1, 1, tzinfo=UTC)


class SqlDesk:
    """Beta's database, and a story for each lane."""

    def __init__(self, stage: Stage) -> None:
        self.database, self.ledger = stage.beta, SqlLedger(stage.beta, "contract", stage.clock)

    def fact(self, number: int, lane: int, content: str) -> Envelope:
        data = json.dumps({"at": AT.isoformat(), "about": f"k{lane}", "version": number, "content": content}).encode()
        return Envelope(UUID(int=number), ThingChanged.type, ThingChanged.topic(), f"k{lane}", AT, "{}", data)

    async def apply(self, tx: Tx, records: Sequence[Record]) -> None:
        for record in records:
            await tell(tx, ThingChanged.model_validate_json(record.fact.data))

    async def story(self, lane: int) -> list[int]:
        async with self.database.read() as conn:
            versions = (await conn.execute(sa.select(STORY.c.versions).where(STORY.c.key == f"k{lane}"))).scalar()
        return [int(version) for version in (versions or "").split()]


@pytest.fixture
async def desk(log_url_of: Callable[[str], str]) -> AsyncIterator[SqlDesk]:
    stage = Stage(log_url_of)
    await stage.make_tables()
    yield SqlDesk(stage)
    await stage.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_the_ledger_in_sql_keeps_the_contract(scenario: Scenario, desk: SqlDesk) -> None:
    await scenario(Bench(desk))
