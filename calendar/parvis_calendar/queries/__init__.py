"""Answers that change nothing; each protected thing has one way to it, and that way asks who you are."""

from parvis_calendar.queries.agendas import (
    agenda_by_id,
    agenda_for,
    agendas_for,
    colleagues_by_email,
    home_for,
    let_in,
    person_for,
    principals_for,
    whole_home_for,
)
from parvis_calendar.queries.availability import Availability, Wanted, availability_for, privacy_for, privacy_of, resources_for
from parvis_calendar.queries.departures import departure_for, leaver_for
from parvis_calendar.queries.events import Occurrence, event_by_id, event_for, occurrences_for
from parvis_calendar.queries.freebusy import busy_in, busy_of, busy_of_one
from parvis_calendar.queries.meetings import Invited, invitations_for
from parvis_calendar.queries.objects import Page, changes_in, object_in, object_named, objects_in, objects_named
from parvis_calendar.queries.reading import aside, read, read_stored
from parvis_calendar.queries.searching import search

__all__ = [
    "Availability",
    "Invited",
    "Occurrence",
    "Page",
    "Wanted",
    "agenda_by_id",
    "agenda_for",
    "agendas_for",
    "aside",
    "availability_for",
    "busy_in",
    "busy_of",
    "busy_of_one",
    "changes_in",
    "colleagues_by_email",
    "departure_for",
    "event_by_id",
    "event_for",
    "home_for",
    "invitations_for",
    "leaver_for",
    "let_in",
    "object_in",
    "object_named",
    "objects_in",
    "objects_named",
    "occurrences_for",
    "person_for",
    "principals_for",
    "read",
    "read_stored",
    "privacy_for",
    "privacy_of",
    "resources_for",
    "search",
    "whole_home_for",
]
