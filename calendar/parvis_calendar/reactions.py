"""What calendar does when others' facts arrive: homes follow their agents."""

from collections.abc import Sequence

from parvis_contracts.directory import AgentJoined, AgentLeft, AgentMoved, AgentReinstated, MinistryMerged
from parvis_contracts.messaging import CommandReceived
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Reactions, batch

from parvis_calendar import actions


async def open_home(tx: Tx, fact: AgentJoined) -> None:
    await actions.open_home(tx, fact.agent_id, fact.ministry_id, now=fact.at)


async def follow_agents(tx: Tx, facts: Sequence[AgentMoved]) -> None:
    await actions.follow_agents(tx, {fact.agent_id: fact.to_ministry_id for fact in facts})


async def settle_leaver(tx: Tx, fact: AgentLeft) -> None:
    await actions.settle_leaver(tx, fact.agent_id, fact.at, now=utc_now())


async def welcome_back(tx: Tx, fact: AgentReinstated) -> None:
    await actions.welcome_back(tx, fact.agent_id, now=fact.at)


async def follow_ministry(tx: Tx, fact: MinistryMerged) -> None:
    await actions.follow_ministry(tx, fact.ministry_id, fact.into_ministry_id)


async def take_answer(tx: Tx, fact: CommandReceived) -> None:
    await actions.take_command(tx, fact.agent_id, fact.meeting_id, fact.command, now=utc_now())


REACTIONS: Reactions = {
    AgentJoined: open_home,
    AgentMoved: batch(follow_agents),
    AgentLeft: settle_leaver,
    AgentReinstated: welcome_back,
    MinistryMerged: follow_ministry,
    CommandReceived: take_answer,
}
