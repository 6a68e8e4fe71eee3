"""App passwords: made, and revoked."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from parvis_contracts.directory import CredentialIssued, CredentialRevoked, CredentialState
from parvis_kit import access, audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Forbidden, NotFound

from parvis_directory import rules, store
from parvis_directory.rules import Asker, KeptAppPassword

PIECE = 500
"""Revoked in one transaction, with two facts each: under a second, in which others wait on SQLite."""


async def create_app_password(
    tx: Tx, asker: Asker, name: str, scopes: Sequence[str], expires_at: datetime, *, now: datetime
) -> tuple[KeptAppPassword, access.AppPassword]:
    """The secret is in the answer and nowhere else. Raises Forbidden when the ministry has none, Invalid, Conflict."""
    rules.check_app_password(scopes, expires_at, now)
    ministry = await store.find_ministry(tx, asker.ministry_id)
    if ministry is None or not ministry.app_passwords:
        raise Forbidden("Your ministry does not use app passwords.")
    if len(await store.app_passwords_of(tx, asker.id)) >= rules.APP_PASSWORDS_MAX:
        raise Conflict(f"You have {rules.APP_PASSWORDS_MAX} app passwords: revoke one first.")
    made = access.make_app_password()
    kept = KeptAppPassword(new_id(), asker.id, name, made.prefix, sorted(set(scopes)), now, expires_at, None)
    await store.add_app_password(tx, kept, made.digest)
    await audit.record(tx, who=asker.who, what="app_password.create", on=kept.id, ministry=asker.ministry_id, at=now)
    about = str(kept.id)
    publish(
        tx,
        CredentialIssued(at=now, about=about, credential_id=kept.id, agent_id=asker.id, kind="app_password"),
        CredentialState(
            at=now, about=about, credential_id=kept.id, agent_id=asker.id, kind="app_password", state="active", prefix=made.prefix,
            digest=made.digest, scopes=tuple(kept.scopes), expires_at=expires_at,
        ),
    )  # fmt: skip
    return kept, made


async def revoke_forbidden(tx: Tx, ministry_id: UUID, *, who: UUID | str, now: datetime) -> bool:
    """Those of a ministry that uses none, a piece; whether there may be more."""
    revoked = await store.revoke_app_passwords_of_ministry(tx, ministry_id, now, PIECE)
    await _tell_revoked(tx, revoked, ministry_id, who, now)
    return len(revoked) == PIECE


async def revoke_all(tx: Tx, agent_id: UUID, ministry_id: UUID, *, who: UUID | str, now: datetime) -> None:
    """Of an agent who comes to a ministry that uses none."""
    await _tell_revoked(tx, await store.revoke_app_passwords(tx, agent_id, now), ministry_id, who, now)


async def _tell_revoked(tx: Tx, revoked: Sequence[KeptAppPassword], ministry_id: UUID, who: UUID | str, now: datetime) -> None:
    for kept in revoked:
        await audit.record(tx, who=who, what="app_password.revoke", on=kept.id, ministry=ministry_id, at=now)
        say_revoked(tx, kept, now)


async def revoke_app_password(tx: Tx, asker: Asker, password_id: UUID, *, now: datetime) -> None:
    """Raises NotFound: another's is answered like none."""
    revoked = await store.revoke_app_passwords(tx, asker.id, now, password_id)
    if not revoked:
        raise NotFound(f"There is no app password {password_id}.")
    await _tell_revoked(tx, revoked, asker.ministry_id, asker.who, now)


def say_revoked(tx: Tx, kept: KeptAppPassword, now: datetime) -> None:
    about = str(kept.id)
    publish(
        tx,
        CredentialRevoked(at=now, about=about, credential_id=kept.id, agent_id=kept.agent_id, kind="app_password"),
        CredentialState(
            at=now, about=about, credential_id=kept.id, agent_id=kept.agent_id, kind="app_password", state="revoked", prefix=kept.prefix,
            scopes=tuple(kept.scopes), expires_at=kept.expires_at,
        ),
    )  # fmt: skip
