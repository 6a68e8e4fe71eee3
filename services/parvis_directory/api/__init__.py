"""Directory's doors over HTTP, by subject."""

from parvis_directory.api import agents, audit, credentials, ministries, sign_in, teams

ROUTES = (ministries.ROUTES, agents.ROUTES, teams.ROUTES, credentials.ROUTES, sign_in.ROUTES, audit.ROUTES)
