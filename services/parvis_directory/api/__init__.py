"""Directory's doors over HTTP, by subject."""

from parvis_directory.api import agents, audit, credentials, departures, ministries, sign_in, teams

ROUTES = (ministries.ROUTES, agents.ROUTES, departures.ROUTES, teams.ROUTES, credentials.ROUTES, sign_in.ROUTES, audit.ROUTES)
