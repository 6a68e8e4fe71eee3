"""What billing does when others' facts arrive: it counts, many at once."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from parvis_contracts.calendar import EventScheduled
from parvis_contracts.directory import AgentJoined, AgentLeft, AgentMoved, AgentReinstated, AgentState, AgentSuspended
from parvis_contracts.files import FileMoved, FilePurged, FileRenamed, FileRestored, FileShared, FileStored, FileTrashed
from parvis_contracts.messaging import MessagePosted
from parvis_kit.clock import Clock
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Fact, Reactions, batch
from parvis_kit.events.reactions import Many

from parvis_billing import actions
from parvis_billing.rules import FILE_ACTIONS, MEETINGS, MESSAGES
from parvis_billing.rules.seats import SeatChange
from parvis_billing.rules.storage import SizeChange

F = TypeVar("F", bound=Fact)
ENABLED_STATES = frozenset({"pending", "active"})
"""Who may sign in has a seat, whether or not they have done so yet."""


async def meter_stored(clock: Clock, tx: Tx, facts: Sequence[FileStored]) -> None:
    await actions.meter_storage(tx, [sized(one, one.size_bytes) for one in facts], now=clock())
    await actions.count(tx, [(one.stored_by, one.at, FILE_ACTIONS) for one in facts], now=clock())


async def meter_purged(clock: Clock, tx: Tx, facts: Sequence[FilePurged]) -> None:
    await actions.meter_storage(tx, [sized(one, -one.size_bytes) for one in facts], now=clock())


def sized(one: FileStored | FilePurged, delta_bytes: int) -> SizeChange:
    personal = one.space_kind == "personal" and one.owner_id is not None
    return SizeChange(one.owner_id if personal and one.owner_id else one.space_id, personal, one.ministry_id, one.at, delta_bytes)


async def count_renamed(clock: Clock, tx: Tx, facts: Sequence[FileRenamed]) -> None:
    await actions.count(tx, [(one.renamed_by, one.at, FILE_ACTIONS) for one in facts], now=clock())


async def count_moved(clock: Clock, tx: Tx, facts: Sequence[FileMoved]) -> None:
    await actions.count(tx, [(one.moved_by, one.at, FILE_ACTIONS) for one in facts], now=clock())


async def count_trashed(clock: Clock, tx: Tx, facts: Sequence[FileTrashed]) -> None:
    await actions.count(tx, [(one.trashed_by, one.at, FILE_ACTIONS) for one in facts], now=clock())


async def count_restored(clock: Clock, tx: Tx, facts: Sequence[FileRestored]) -> None:
    await actions.count(tx, [(one.restored_by, one.at, FILE_ACTIONS) for one in facts], now=clock())


async def count_shared(clock: Clock, tx: Tx, facts: Sequence[FileShared]) -> None:
    await actions.count(tx, [(one.shared_by, one.at, FILE_ACTIONS) for one in facts], now=clock())


async def count_meetings(clock: Clock, tx: Tx, facts: Sequence[EventScheduled]) -> None:
    """What somebody notes for themselves is none; what was handed over was counted when its first organizer scheduled it."""
    if meetings := [(one.owner_id, one.at, MEETINGS) for one in facts if one.attendees > 0 and one.continues is None]:
        await actions.count(tx, meetings, now=clock())


async def count_messages(clock: Clock, tx: Tx, facts: Sequence[MessagePosted]) -> None:
    await actions.count(tx, [(one.agent_id, one.at, MESSAGES) for one in facts], now=clock())


async def open_seats(clock: Clock, tx: Tx, facts: Sequence[AgentJoined]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "joined", one.ministry_id, one.kind) for one in facts], now=clock())


async def move_seats(clock: Clock, tx: Tx, facts: Sequence[AgentMoved]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "moved", one.to_ministry_id) for one in facts], now=clock())


async def suspend_seats(clock: Clock, tx: Tx, facts: Sequence[AgentSuspended]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "suspended") for one in facts], now=clock())


async def reinstate_seats(clock: Clock, tx: Tx, facts: Sequence[AgentReinstated]) -> None:
    await actions.change_seats(tx, [SeatChange(one.agent_id, one.at, "reinstated") for one in facts], now=clock())


async def settle_leavers(clock: Clock, tx: Tx, facts: Sequence[AgentLeft]) -> None:
    left = [SeatChange(one.agent_id, one.at, "left", one.ministry_id) for one in facts]
    await actions.settle_leavers(tx, left, now=clock())


async def keep_seat_states(clock: Clock, tx: Tx, facts: Sequence[AgentState]) -> None:
    enabled = ENABLED_STATES
    states = [SeatChange(one.agent_id, one.at, "state", one.ministry_id, one.kind, one.state in enabled) for one in facts]
    await actions.keep_seat_states(tx, states, now=clock())


async def forget_seat_states(tx: Tx, erased: Sequence[Erased]) -> None:
    await actions.forget_seat_states(tx, [UUID(one.about) for one in erased])


def reactions_of(clock: Clock) -> Reactions:
    """Every fact that is counted, many at a time."""

    def counted(react: Callable[[Clock, Tx, Sequence[F]], Awaitable[None]]) -> Many[F]:
        return batch(partial(react, clock))

    return {
        FileStored: counted(meter_stored),
        FilePurged: counted(meter_purged),
        FileRenamed: counted(count_renamed),
        FileMoved: counted(count_moved),
        FileTrashed: counted(count_trashed),
        FileRestored: counted(count_restored),
        FileShared: counted(count_shared),
        EventScheduled: counted(count_meetings),
        MessagePosted: counted(count_messages),
        AgentJoined: counted(open_seats),
        AgentMoved: counted(move_seats),
        AgentSuspended: counted(suspend_seats),
        AgentReinstated: counted(reinstate_seats),
        AgentLeft: counted(settle_leavers),
        AgentState: counted(keep_seat_states),
        Erased(AgentState): batch(forget_seat_states),
    }
