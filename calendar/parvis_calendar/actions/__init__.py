"""What changes agendas: each act takes the next number of its home, writes, and says what happened, in the transaction it is given."""

from parvis_calendar.actions.agendas import change_agenda, change_home, make_agenda
from parvis_calendar.actions.departures import choose_departure, settle_leaver, welcome_back
from parvis_calendar.actions.events import change_event, create_event, delete_event, people_named, resources_named
from parvis_calendar.actions.expansion import renew_expansions
from parvis_calendar.actions.homes import follow_agents, follow_ministry, open_home, renew_epochs
from parvis_calendar.actions.objects import Put, forget_tombstones, prepared
from parvis_calendar.actions.privacy import note_reading, set_privacy
from parvis_calendar.actions.resources import make_resource
from parvis_calendar.actions.scheduling import answer_for, delete_agenda, delete_object, move_object, put_object, take_command

__all__ = [
    "Put",
    "answer_for",
    "change_agenda",
    "change_event",
    "change_home",
    "choose_departure",
    "create_event",
    "delete_agenda",
    "delete_event",
    "delete_object",
    "follow_agents",
    "follow_ministry",
    "forget_tombstones",
    "make_agenda",
    "make_resource",
    "move_object",
    "note_reading",
    "open_home",
    "people_named",
    "prepared",
    "put_object",
    "renew_epochs",
    "renew_expansions",
    "resources_named",
    "set_privacy",
    "settle_leaver",
    "take_command",
    "welcome_back",
]
