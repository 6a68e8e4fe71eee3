"""What messaging does when others' facts arrive: accounts and rooms follow the directory, and agents are told."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from parvis_contracts.calendar import MeetingAnswered, MeetingInvited, MeetingWithdrawn
from parvis_contracts.directory import AgentJoined, AgentLeft, AgentReinstated, AgentState, TeamState
from parvis_contracts.files import FileShared, QuotaThresholdCrossed
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Reactions

from parvis_messaging import actions
from parvis_messaging.actions import Bridge
from parvis_messaging.homeserver import Home

Tell = Callable[[Tx, Bridge, Any], Awaitable[None]]


async def keep_account(home: Home, bridge: Bridge, tx: Tx, fact: AgentState) -> None:
    if fact.state != "left":
        await actions.keep_account(tx, home, bridge, fact.agent_id, fact.given_name, fact.family_name, now=fact.at)


async def forget_account(home: Home, bridge: Bridge, tx: Tx, fact: Erased) -> None:
    await actions.forget_account(tx, home, bridge, UUID(fact.about), now=utc_now())
    await actions.forget_agent(tx, UUID(fact.about))


async def settle_leaver(home: Home, bridge: Bridge, tx: Tx, fact: AgentLeft) -> None:
    await actions.settle_leaver(tx, home, bridge, fact.agent_id, fact.at, now=utc_now())
    await actions.note_departure(tx, fact.agent_id)


async def welcome_back(bridge: Bridge, tx: Tx, fact: AgentReinstated) -> None:
    await actions.welcome_back(tx, fact.agent_id)
    await actions.bring_in(tx, bridge, fact.agent_id)


async def follow_team(bridge: Bridge, tx: Tx, fact: TeamState) -> None:
    await actions.follow_team(tx, bridge, fact.team_id, fact.name, fact.members)


async def close_team(bridge: Bridge, tx: Tx, fact: Erased) -> None:
    await actions.close_team(tx, bridge, UUID(fact.about))


async def tell(bridge: Bridge, how: Tell, tx: Tx, fact: Any) -> None:
    await how(tx, bridge, fact)


def reactions(home: Home, bridge: Bridge) -> Reactions:
    return {
        AgentState: partial(keep_account, home, bridge),
        Erased(AgentState): partial(forget_account, home, bridge),
        AgentLeft: partial(settle_leaver, home, bridge),
        AgentReinstated: partial(welcome_back, bridge),
        TeamState: partial(follow_team, bridge),
        Erased(TeamState): partial(close_team, bridge),
        AgentJoined: partial(tell, bridge, actions.welcome),
        FileShared: partial(tell, bridge, actions.tell_share),
        QuotaThresholdCrossed: partial(tell, bridge, actions.tell_quota),
        MeetingInvited: partial(tell, bridge, actions.tell_invitation),
        MeetingWithdrawn: partial(tell, bridge, actions.tell_withdrawal),
        MeetingAnswered: partial(tell, bridge, actions.tell_answer),
    }
