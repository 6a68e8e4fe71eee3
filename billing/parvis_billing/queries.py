"""What changes nothing, for whoever may ask."""

from datetime import datetime

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound
from parvis_roster import Agent

from parvis_billing import store


async def welcome_for(conn: Connection, agent: Agent) -> datetime:
    if (prepared_at := await store.find(conn, agent.id)) is None:
        raise NotFound("No welcome waits for you.")
    return prepared_at
