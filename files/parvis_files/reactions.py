"""What it does when others' facts arrive."""

from parvis_contracts.directory import AgentJoined, AgentLeft
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Reactions

from parvis_files import actions


async def welcome_agent(tx: Tx, fact: AgentJoined) -> None:
    await actions.prepare_welcome(tx, fact.agent_id, now=fact.at)


async def settle_leaver(tx: Tx, fact: AgentLeft) -> None:
    await actions.settle_leaver(tx, fact.agent_id, fact.at, now=utc_now())


REACTIONS: Reactions = {AgentJoined: welcome_agent, AgentLeft: settle_leaver}
