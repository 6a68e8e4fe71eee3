"""Ministries and their directorates."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.directory import Directorate as SaidDirectorate
from parvis_contracts.directory import MinistryOnboarded, MinistryState
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id

from parvis_directory import queries, rules, store
from parvis_directory.actions.app_passwords import revoke_forbidden
from parvis_directory.actions.common import check_revision, unless_taken
from parvis_directory.rules import Asker, Directorate, Ministry
from parvis_directory.rules.moves import check_open


async def create_ministry(tx: Tx, asker: Asker, siren: str, name: str, *, now: datetime) -> Ministry:
    """Raises Forbidden, Invalid, Conflict when the SIREN is aboard."""
    rules.check_operator(asker)
    rules.check_siren(siren)
    one = Ministry(new_id(), siren, name, True, 1)
    await unless_taken(store.add_ministry(tx, one), f"SIREN {siren} is aboard already.", "")
    await audit.record(tx, who=asker.who, what="ministry.create", on=one.id, ministry=one.id, at=now)
    publish(tx, MinistryOnboarded(at=now, about=str(one.id), ministry_id=one.id, siren=siren))
    await say_ministry(tx, one, now)
    return one


async def change_ministry(
    tx: Tx, asker: Asker, ministry_id: UUID, *, name: str | None, app_passwords: bool | None, if_match: str, now: datetime
) -> Ministry:
    """Without app passwords, those that there are end. Raises NotFound, Forbidden, PreconditionFailed, Conflict when it has merged."""
    one = await queries.ministry_for(tx, asker, ministry_id, lock=True)
    rules.check_may_change(asker, one.id)
    check_open(one.closed_at)
    check_revision(one.revision, if_match)
    one = await store.change_ministry(
        tx, one, name=one.name if name is None else name, app_passwords=one.app_passwords if app_passwords is None else app_passwords
    )
    await audit.record(tx, who=asker.who, what="ministry.change", on=one.id, ministry=one.id, at=now)
    if not one.app_passwords:
        await revoke_forbidden(tx, one.id, who=asker.who, now=now)  # a sweep goes on where there are thousands
    await say_ministry(tx, one, now)
    return one


async def create_directorate(tx: Tx, asker: Asker, ministry_id: UUID, name: str, siret: str | None, *, now: datetime) -> Directorate:
    """Raises NotFound, Forbidden, Invalid, Conflict when the name is taken."""
    ministry = await queries.ministry_for(tx, asker, ministry_id, lock=True)
    rules.check_may_change(asker, ministry_id)
    check_open(ministry.closed_at)
    if siret is not None:
        rules.check_siret(siret)
    one = Directorate(new_id(), ministry_id, name, siret)
    await unless_taken(store.add_directorate(tx, one), f"The ministry has a directorate of the name {name}.", "")
    await audit.record(tx, who=asker.who, what="directorate.create", on=one.id, ministry=ministry_id, at=now)
    await say_ministry(tx, ministry, now)
    return one


async def say_ministry(tx: Tx, one: Ministry, now: datetime) -> None:
    """As it stands; what has gone over to another ministry is said there."""
    kept = [each for each in await store.directorates_of(tx, one.id) if each.succeeded_by is None]
    units = tuple(SaidDirectorate(directorate_id=each.id, name=each.name) for each in kept)
    publish(
        tx,
        MinistryState(
            at=now, about=str(one.id), ministry_id=one.id, siren=one.siren, name=one.name, directorates=units, closed_at=one.closed_at,
            succeeded_by=one.succeeded_by,
        ),
    )  # fmt: skip
