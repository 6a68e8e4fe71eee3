"""What billing does when others' facts arrive: it counts, many at once."""

from collections.abc import Sequence
from uuid import UUID

from parvis_contracts.directory import AgentJoined, AgentLeft, AgentMoved, AgentReinstated, AgentState, AgentSuspended
from parvis_contracts.files import FileMoved, FilePurged, FileRenamed, FileRestored, FileShared, FileStored, FileTrashed
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Reactions, batch

from parvis_billing import actions
from parvis_billing.rules import FILE_ACTIONS
from parvis_billing.rules.seats import SeatChange
from parvis_billing.rules.storage import SizeChange

ENABLED_STATES = frozenset({"pending", "active"})
"""Who may sign in has a seat, whether or not they have done so yet."""


async def meter_stored(tx: Tx, facts: Sequence[FileStored]) -> None:
    await actions.meter_storage(tx, [sized(one, one.size_bytes) for one in facts])
    await actions.count(tx, [(one.stored_by, one.at, FILE_ACTIONS) for one in facts])


async def meter_purged(tx: Tx, facts: Sequence[FilePurged]) -> None:
    await actions.meter_storage(tx, [sized(one, -one.size_bytes) for one in facts])


def sized(one: FileStored | FilePurged, delta_bytes: int) -> SizeChange:
    personal = one.space_kind == "personal" and one.owner_id is not None
    return SizeChange(one.owner_id if personal and one.owner_id else one.space_id, personal, one.ministry_id, one.at, delta_bytes)


async def count_renamed(tx: Tx, facts: Sequence[FileRenamed]) -> None:
    await actions.count(tx, [(one.renamed_by, one.at, FILE_ACTIONS) for one in facts])


async def count_moved(tx: Tx, facts: Sequence[FileMoved]) -> None:
    await actions.count(tx, [(one.moved_by, one.at, FILE_ACTIONS) for one in facts])


async def count_trashed(tx: Tx, facts: Sequence[FileTrashed]) -> None:
    await actions.count(tx, [(one.trashed_by, one.at, FILE_ACTIONS) for one in facts])


async def count_restored(tx: Tx, facts: Sequence[FileRestored]) -> None:
    await actions.count(tx, [(one.restored_by, one.at, FILE_ACTIONS) for one in facts])


async def count_shared(tx: Tx, facts: Sequence[FileShared]) -> None:
    await actions.count(tx, [(one.shared_by, one.at, FILE_ACTIONS) for one in facts])


async def open_seats(tx: Tx, facts: Sequence[AgentJoined]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "joined", one.ministry_id, one.kind) for one in facts])


async def move_seats(tx: Tx, facts: Sequence[AgentMoved]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "moved", one.to_ministry_id) for one in facts])


async def suspend_seats(tx: Tx, facts: Sequence[AgentSuspended]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "suspended") for one in facts])


async def reinstate_seats(tx: Tx, facts: Sequence[AgentReinstated]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "reinstated") for one in facts])


async def settle_leavers(tx: Tx, facts: Sequence[AgentLeft]) -> None:
    left = [SeatChange(one.agent_id, one.at, "left", one.ministry_id) for one in facts]
    await actions.settle_leavers(tx, left, now=utc_now())


async def keep_seat_states(tx: Tx, facts: Sequence[AgentState]) -> None:
    enabled = ENABLED_STATES
    states = [SeatChange(one.agent_id, one.at, "state", one.ministry_id, one.kind, one.state in enabled) for one in facts]
    await actions.keep_seat_states(tx, states)


async def forget_seat_states(tx: Tx, erased: Sequence[Erased]) -> None:
    await actions.forget_seat_states(tx, [UUID(one.about) for one in erased])


REACTIONS: Reactions = {
    FileStored: batch(meter_stored),
    FilePurged: batch(meter_purged),
    FileRenamed: batch(count_renamed),
    FileMoved: batch(count_moved),
    FileTrashed: batch(count_trashed),
    FileRestored: batch(count_restored),
    FileShared: batch(count_shared),
    AgentJoined: batch(open_seats),
    AgentMoved: batch(move_seats),
    AgentSuspended: batch(suspend_seats),
    AgentReinstated: batch(reinstate_seats),
    AgentLeft: batch(settle_leavers),
    AgentState: batch(keep_seat_states),
    Erased(AgentState): batch(forget_seat_states),
}
