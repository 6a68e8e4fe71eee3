"""The local copy of the directory that each service keeps: agents, teams, ministries, credentials; and who is asking."""

from parvis_roster.asking import AGENT, Agent, Guard, Questions, WhoAsks, who_asks
from parvis_roster.freshness import Freshness
from parvis_roster.keeping import projection
from parvis_roster.tables import roster_tables, service_metadata, tables_of

__all__ = [
    "AGENT",
    "Agent",
    "Freshness",
    "Guard",
    "Questions",
    "WhoAsks",
    "projection",
    "roster_tables",
    "service_metadata",
    "tables_of",
    "who_asks",
]
