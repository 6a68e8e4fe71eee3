"""What changes agendas: each act takes the next number of its home, writes, and says what happened, in the transaction it is given."""

from parvis_calendar.actions.agendas import change_agenda, change_home, delete_agenda, make_agenda
from parvis_calendar.actions.expansion import renew_expansions
from parvis_calendar.actions.homes import follow_agents, follow_ministry, open_home, renew_epochs, settle_leaver, welcome_back
from parvis_calendar.actions.objects import Put, forget_tombstones, move_object, prepared
from parvis_calendar.actions.scheduling import answer_meeting, delete_object, put_object, take_command

__all__ = [
    "Put",
    "answer_meeting",
    "change_agenda",
    "change_home",
    "delete_agenda",
    "delete_object",
    "follow_agents",
    "follow_ministry",
    "forget_tombstones",
    "make_agenda",
    "move_object",
    "open_home",
    "prepared",
    "put_object",
    "renew_epochs",
    "renew_expansions",
    "settle_leaver",
    "take_command",
    "welcome_back",
]
