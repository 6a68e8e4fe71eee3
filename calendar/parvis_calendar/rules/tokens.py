"""Sync tokens (RFC 6578): whose they are, of which life of the store, and up to which change; anything else is refused."""

import re
from uuid import UUID

from parvis_calendar.rules.agendas import Agenda

TOKEN = re.compile(r"urn:parvis:sync:(?P<agenda>[0-9a-f-]{36}):(?P<epoch>\d{1,18}):(?P<seq>\d{1,18})")


def seq_of(token: str, agenda: Agenda) -> int | None:
    """After which change to go on; None when the token is another agenda's, of another life, too old, or of the future."""
    read = TOKEN.fullmatch(token)
    if read is None or UUID(read["agenda"]) != agenda.id or int(read["epoch"]) != agenda.epoch:
        return None
    seq = int(read["seq"])
    return seq if agenda.forgotten_seq <= seq <= agenda.seq else None
