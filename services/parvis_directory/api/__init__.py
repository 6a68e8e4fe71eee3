"""Directory's doors over HTTP, by subject."""

from parvis_directory.api import agents, credentials, ministries, onboarding, sign_in, teams

ROUTES = (ministries.ROUTES, agents.ROUTES, teams.ROUTES, credentials.ROUTES, onboarding.ROUTES, sign_in.ROUTES)
