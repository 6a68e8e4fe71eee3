"""With Kafka between them: what happens at the directory's door is a CloudEvent on its topic, and another service's roster follows it."""

import json
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit.testing.kafka import records_of
from parvis_kit.testing.waiting import until

from .conftest import Desk, Town, basic

TOPIC = "parvis.directory.credential.state"


@pytest.fixture
def database_kind() -> str:
    return "kafka"


async def test_what_is_done_at_the_door_lies_on_the_topic_and_reaches_another_service(town: Town, desk: Desk) -> None:
    desk.start()
    body = {"name": "client", "scopes": ["directory:read"], "expires_at": (town.clock() + timedelta(days=30)).isoformat()}
    status, made, _ = await town.call("POST", "/api/directory/v1/app-passwords", by="bob", body=body, X_Request_Id="r-42")
    assert status == 201
    password = basic("bob@interieur.example.org", made["app_password"])

    async def is_known_elsewhere() -> bool:
        """Asked of its copy: a password that is refused again and again is a guess, and is answered 429."""
        async with desk.database.read() as conn:
            wanted = sa.text("SELECT count(*) FROM desk.roster_credential WHERE id = :id").bindparams(
                sa.bindparam("id", UUID(made["id"]), sa.Uuid)
            )
            return bool((await conn.execute(wanted)).scalar_one())

    await until(is_known_elsewhere, "the other service knows the app password")
    assert await desk.who(password) == 200
    [record] = [one for one in await records_of(town.platform, TOPIC) if one.key == made["id"].encode()]
    headers = {name: value.decode() for name, value in record.headers}
    assert headers["ce_specversion"] == "1.0" and headers["ce_type"] == "directory.credential.state.v1"
    assert headers["ce_source"] == "/parvis/directory" and headers["ce_subject"] == made["id"] == headers["ce_partitionkey"]
    assert headers["ce_actor"] == str(town.ids["bob"]) and headers["content-type"] == "application/json"
    assert json.loads(record.value)["about"] == made["id"]

    assert (await town.call("DELETE", f"/api/directory/v1/app-passwords/{made['id']}", by="bob"))[0] == 204

    async def is_refused_elsewhere() -> bool:
        return await desk.who(password) == 401

    await until(is_refused_elsewhere, "and refuses it when it is revoked")
