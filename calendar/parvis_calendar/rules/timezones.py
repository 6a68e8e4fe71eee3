"""Which zone of IANA's a client means when it sets a VTIMEZONE."""

from zoneinfo import ZoneInfo

from parvis_calendar.rules.lexing import unfolded
from parvis_calendar.rules.refusals import NotTaken
from parvis_calendar.rules.zones import TZID, described_in, zone_described, zone_named

PLACES = {0: "Etc/UTC"} | {sign * hours * 3600: f"Etc/GMT{'-' if sign > 0 else '+'}{hours}" for sign in (1, -1) for hours in range(1, 13)}
"""Fixed offsets in whole hours, by IANA's names, whose signs are the other way round."""


def zone_in(text: str) -> str | None:
    """The name of the zone that this VTIMEZONE means; None when nobody knows it."""
    try:
        whole = unfolded(text.strip().replace("\r\n", "\n").encode())
    except NotTaken:
        return None
    named = TZID.search(whole)
    if named is None:
        return None
    name = named[1].strip()
    zone = zone_named(name) or zone_described(described_in(whole).get(name, ""))
    if isinstance(zone, ZoneInfo):
        return zone.key
    if zone is None:
        return None
    offset = zone.utcoffset(None)
    return PLACES.get(int(offset.total_seconds())) if offset is not None else None
