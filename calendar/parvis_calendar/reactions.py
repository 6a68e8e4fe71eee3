"""What it does when others' facts arrive."""

from parvis_contracts.directory import AgentLeft
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Reactions

from parvis_calendar import actions


async def settle_leaver(tx: Tx, fact: AgentLeft) -> None:
    await actions.settle_leaver(tx, fact.agent_id, fact.at, now=utc_now())


REACTIONS: Reactions = {AgentLeft: settle_leaver}
