"""Who may read what in PostgreSQL when all services of the suite are there: the others' logs, and with Kafka nothing of theirs."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest
from parvis_kit.db.roles import scram
from parvis_kit.settings import METRICS_ROLE, Platform
from parvis_kit.testing.databases import Place
from parvis_kit.testing.kafka import KafkaServer
from parvis_suite import assembly
from parvis_suite.services import BUILDERS, build_all
from pydantic import SecretStr

ACROSS = """
SELECT service, role, what, right_ FROM (
    SELECT n.nspname AS service, r.rolname AS role, c.relname AS what, p.right_
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p (right_)
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND has_table_privilege(r.oid, c.oid, p.right_)
    UNION ALL
    SELECT n.nspname, r.rolname, '(schema)', p.right_
    FROM pg_namespace n, pg_roles r, unnest(ARRAY['USAGE', 'CREATE']) AS p (right_)
    WHERE has_schema_privilege(r.oid, n.oid, p.right_)
) AS held WHERE service = ANY ($1) AND role = ANY ($2) AND role <> 'parvis_' || service
"""
"""What a role may do in a schema that is another's, however it came to it: as PostgreSQL itself would decide."""


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


async def across(platform: Platform) -> set[tuple[str, str, str]]:
    """(schema, table, right), which each of the other roles holds; it fails where one holds what another does not."""
    names = list(BUILDERS)
    connection = await asyncpg.connect(platform.admin_url)
    try:
        held = await connection.fetch(ACROSS, names, [f"parvis_{name}" for name in names])
    finally:
        await connection.close()
    found = {(one["service"], one["what"], one["right_"]) for one in held}
    assert len(held) == len(found) * (len(names) - 1), "the others may do the same"
    return found


async def role_of_figures(platform: Platform, password: str) -> Any:
    """(What it may do in any service's schema, whether it sees what others are asking), as it finds it signed in with this password."""
    connection = await asyncpg.connect(platform.postgresql_url_as(METRICS_ROLE), password=password)
    try:
        held = await connection.fetch(ACROSS, list(BUILDERS), [METRICS_ROLE])
        return held, await connection.fetchval("SELECT pg_has_role('pg_monitor', 'USAGE')")
    finally:
        await connection.close()


async def migrate(platform: Platform) -> None:
    services = build_all(platform)
    try:
        await assembly.migrate(services, platform)
    finally:
        for each in services:
            await each.database.close()


async def test_the_others_read_the_log_of_a_service_and_with_kafka_nothing(place: Place, kafka: KafkaServer) -> None:
    on_sql = Platform(data=place.folder, database_url=SecretStr(place.url_of("")))
    await migrate(on_sql)
    log_alone = {(name, what, "SELECT") for name in BUILDERS for what in ("log", "log_head")}
    assert await across(on_sql) == log_alone | {(name, "(schema)", "USAGE") for name in BUILDERS}
    on_kafka = Platform(data=place.folder, database_url=SecretStr(place.url_of("")), **kafka.settings().model_dump())
    await migrate(on_kafka)
    assert await across(on_kafka) == set()


async def test_the_role_of_figures_sees_how_all_work_and_reads_no_table(place: Place, tmp_path: Path) -> None:
    """Made once it has a password, and told a new one by the next `parvis migrate`."""
    file = tmp_path / "metrics-password"
    for password in ("the first", "the second"):
        file.write_text(password)
        platform = Platform(data=place.folder, database_url=SecretStr(place.url_of("")), database_metrics_password_file=file)
        await migrate(platform)
        assert await role_of_figures(platform, password) == ([], True)
        connection = await asyncpg.connect(platform.admin_url)
        kept = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", METRICS_ROLE)
        await connection.close()
        assert kept == scram(password, salt=kept.split("$")[1].split(":")[1])
