"""What files does when others' facts arrive: spaces follow their agents and ministries."""

from parvis_contracts.directory import AgentJoined, AgentLeft, AgentMoved, AgentReinstated, MinistryMerged
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Reactions

from parvis_files import actions


async def open_personal_space(tx: Tx, fact: AgentJoined) -> None:
    await actions.open_personal_space(tx, fact.agent_id, fact.ministry_id, now=fact.at)


async def follow_agent(tx: Tx, fact: AgentMoved) -> None:
    await actions.follow_agent(tx, fact.agent_id, fact.to_ministry_id, now=fact.at)


async def settle_leaver(tx: Tx, fact: AgentLeft) -> None:
    await actions.settle_leaver(tx, fact.agent_id, fact.at, now=utc_now())


async def welcome_back(tx: Tx, fact: AgentReinstated) -> None:
    await actions.welcome_back(tx, fact.agent_id, now=fact.at)


async def follow_ministry(tx: Tx, fact: MinistryMerged) -> None:
    await actions.follow_ministry(tx, fact.ministry_id, fact.into_ministry_id, now=fact.at)


REACTIONS: Reactions = {
    AgentJoined: open_personal_space,
    AgentMoved: follow_agent,
    AgentLeft: settle_leaver,
    AgentReinstated: welcome_back,
    MinistryMerged: follow_ministry,
}
