"""What directory does when others' facts arrive: it ticks off who has done their part about an agent who left."""

from collections.abc import Collection, Mapping
from functools import partial

from parvis_contracts.leavers import LeaverAcknowledged
from parvis_kit.clock import Clock
from parvis_kit.db import Tx
from parvis_kit.events import Reactions

from parvis_directory import actions
from parvis_directory.rules.departures import Step


async def tick_departure(services: Collection[str], clock: Clock, tx: Tx, fact: LeaverAcknowledged) -> None:
    step = Step(fact.service(), fact.at, list(fact.done))
    await actions.acknowledge_departure(tx, fact.agent_id, fact.left_at, step, services=services, now=clock())


def reactions_of(acknowledgements: Mapping[str, type[LeaverAcknowledged]], clock: Clock) -> Reactions:
    """A line for each service that has to acknowledge: which they are, the installation says."""
    return {kind: partial(tick_departure, frozenset(acknowledgements), clock) for kind in acknowledgements.values()}
