"""The JSON doors of calendar, one subject a file."""

from parvis_calendar.api import agendas, events, meetings

ROUTES = (agendas.ROUTES, events.ROUTES, meetings.ROUTES)
