"""The JSON doors of calendar, one subject a file."""

from parvis_calendar.api import agendas, availability, changes, departures, events, meetings

ROUTES = (agendas.ROUTES, events.ROUTES, changes.ROUTES, meetings.ROUTES, availability.ROUTES, departures.ROUTES)
