"""Directory's doors over HTTP, by subject."""

from parvis_directory.api import agents, audit, credentials, departures, domains, ministries, onboarding, sign_in, teams, transfers

ROUTES = (
    ministries.ROUTES,
    domains.ROUTES,
    transfers.ROUTES,
    agents.ROUTES,
    departures.ROUTES,
    teams.ROUTES,
    credentials.ROUTES,
    onboarding.ROUTES,
    sign_in.ROUTES,
    audit.ROUTES,
)
