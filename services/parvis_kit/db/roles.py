"""Who may do what in PostgreSQL: a role per service, which owns its schema, and reads of the others their log alone."""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence

import asyncpg

from parvis_kit.settings import METRICS_ROLE, role_of

READABLE = ("log", "log_head")
"""What the other services may read: the facts, and where they begin and end."""
SCRAM_ROUNDS = 4096
"""PostgreSQL's own default."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


async def make_roles(admin_url: str, services: Sequence[str], password: str = "") -> None:
    """A role that may sign in and a schema that it owns, for each service; done twice, it is done once. A new password replaces the old."""
    conn = await asyncpg.connect(admin_url, timeout=5)
    try:
        await conn.execute("SELECT pg_advisory_lock(hashtext('parvis roles'))")
        may_all = await conn.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        for service in map(_checked, services):
            role = role_of(service)
            if not await conn.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await conn.execute(f"CREATE ROLE {role} LOGIN")
            if password:
                await conn.execute(f"ALTER ROLE {role} PASSWORD '{scram(password)}'")
            if not may_all:  # whoever gives things to a role must be a member of it
                await conn.execute(f"GRANT {role} TO CURRENT_USER")
            owner = await conn.fetchval("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1", service)
            if owner is None:
                await conn.execute(f"CREATE SCHEMA {service} AUTHORIZATION {role}")
            elif owner != role:
                await conn.execute(f"ALTER SCHEMA {service} OWNER TO {role}")
    finally:
        await conn.close()


async def make_observer(admin_url: str, password: str) -> None:
    """
    The role under which an exporter tells Prometheus how the server stands: it reads statistics (`pg_monitor`), and no table.
    Raises asyncpg.InsufficientPrivilegeError when the administrator may not give that away.
    """
    conn = await asyncpg.connect(admin_url, timeout=5)
    try:
        async with conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(hashtext('parvis roles'))")
            if not await conn.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", METRICS_ROLE):
                await conn.execute(f"CREATE ROLE {METRICS_ROLE} LOGIN CONNECTION LIMIT 5")
            await conn.execute(f"ALTER ROLE {METRICS_ROLE} PASSWORD '{scram(password)}'")
            await conn.execute(f"GRANT pg_monitor TO {METRICS_ROLE}")
    finally:
        await conn.close()


async def grant_logs(admin_url: str, services: Sequence[str]) -> None:
    """Let each service read the others' logs, and nothing else of theirs. A service without tables yet gets its turn later."""
    await _each_log(admin_url, services, "GRANT USAGE ON SCHEMA {schema} TO {others}", "GRANT SELECT ON {tables} TO {others}")


async def revoke_logs(admin_url: str, services: Sequence[str]) -> None:
    """Where Kafka carries the facts nobody has anything to read in another's schema, whatever was granted before."""
    await _each_log(admin_url, services, "REVOKE ALL ON {tables} FROM {others}", "REVOKE ALL ON SCHEMA {schema} FROM {others}")


async def _each_log(admin_url: str, services: Sequence[str], *statements: str) -> None:
    conn = await asyncpg.connect(admin_url, timeout=5)
    try:
        for service in map(_checked, services):
            others = ", ".join(role_of(other) for other in services if other != service)
            if not others or not await conn.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{service}.{READABLE[0]}"):
                continue
            async with conn.transaction():
                await conn.execute(f"SET LOCAL ROLE {role_of(service)}")
                tables = ", ".join(f"{service}.{table}" for table in READABLE)
                for statement in statements:
                    await conn.execute(statement.format(schema=service, tables=tables, others=others))
    finally:
        await conn.close()


def scram(password: str, salt: str = "") -> str:
    """What PostgreSQL stores of a password (RFC 5803): sent instead of it, since statements end up in logs."""
    salt_bytes = base64.b64decode(salt) or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt_bytes, SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt_bytes, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ROUNDS}:{salt_text}${stored_text}:{server_text}"


def _checked(service: str) -> str:
    if not NAME.fullmatch(service):
        raise ValueError(f"{service!r} is no name of a service: small letters, digits and _, beginning with a letter")
    return service
