"""What it does when others' facts arrive."""

from functools import partial
from uuid import UUID

from parvis_contracts.directory import AgentLeft, AgentReinstated, AgentState
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Reactions

from parvis_messaging import actions
from parvis_messaging.homeserver import Home


async def keep_account(home: Home, tx: Tx, fact: AgentState) -> None:
    await actions.keep_account(tx, home, fact.agent_id, fact.given_name, fact.family_name, now=fact.at)


async def forget_account(home: Home, tx: Tx, fact: Erased) -> None:
    await actions.forget_account(tx, home, UUID(fact.about), now=utc_now())


async def settle_leaver(home: Home, tx: Tx, fact: AgentLeft) -> None:
    await actions.settle_leaver(tx, home, fact.agent_id, fact.at, now=utc_now())


async def welcome_back(home: Home, tx: Tx, fact: AgentReinstated) -> None:
    await actions.welcome_back(tx, fact.agent_id)


def reactions(home: Home) -> Reactions:
    return {
        AgentState: partial(keep_account, home),
        Erased(AgentState): partial(forget_account, home),
        AgentLeft: partial(settle_leaver, home),
        AgentReinstated: partial(welcome_back, home),
    }
