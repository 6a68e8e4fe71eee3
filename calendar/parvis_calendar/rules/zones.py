"""Time zones by the names that clients give them; IANA's data win over what a client says of a zone."""

import re
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from parvis_calendar.rules.windows_zones import WINDOWS

NAME_CHARACTERS_MAX = 128
PARTS_MAX = 5
"""Two of a client's prefix, three of IANA's longest name."""
ZONES_REMEMBERED = 2048
OFFSET = re.compile(r"(?:UTC|GMT|Etc/GMT)?([+-])(\d{1,2}):?(\d\d)?")
UTC_NAMES = frozenset({"utc", "z", "gmt", "etc/utc", "etc/gmt", "zulu", "utc+00:00"})
LIKE = {
    (-28800, -25200): "America/Los_Angeles", (-25200, -21600): "America/Denver", (-21600, -18000): "America/Chicago",
    (-18000, -14400): "America/New_York", (-14400, -10800): "America/Halifax", (-12600, -9000): "America/St_Johns",
    (-10800, -7200): "America/Miquelon", (0, 3600): "Europe/London", (3600, 7200): "Europe/Paris", (7200, 10800): "Europe/Helsinki",
}  # fmt: skip
"""Offsets in winter and summer → a zone that has them now: for a zone that only its own VTIMEZONE describes."""


@lru_cache(ZONES_REMEMBERED)
def zone_named(name: str) -> tzinfo | None:
    """By IANA's name, with or without a client's prefix, by Windows' name, or by an offset; None when nobody knows it."""
    name = name.strip().strip('"')
    if not name or len(name) > NAME_CHARACTERS_MAX:
        return None
    if name.casefold() in UTC_NAMES:
        return ZoneInfo("UTC")
    parts = name.strip("/").split("/")
    for start in range(max(0, len(parts) - PARTS_MAX), len(parts)):  # as /mozilla.org/20050126_1/Europe/Paris
        if (zone := _iana("/".join(parts[start:]))) is not None:
            return zone
    if (zone := _iana(WINDOWS.get(name, ""))) is not None:
        return zone
    read = OFFSET.fullmatch(name)
    if read is None or int(read[2]) > 14 or int(read[3] or 0) > 59:
        return None
    offset = timedelta(hours=int(read[2]), minutes=int(read[3] or 0))
    return timezone(-offset if (read[1] == "-") != name.startswith("Etc/") else offset)


def _iana(name: str) -> tzinfo | None:
    if not name or name.startswith((".", "posix", "right")) or name in ("localtime", "posixrules", "Factory"):
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


VTIMEZONE = re.compile(r"^BEGIN:VTIMEZONE\n(.*?)^END:VTIMEZONE$", re.MULTILINE | re.DOTALL | re.IGNORECASE)
TZID = re.compile(r"^TZID(?:;[^:\n]*)?:(.*)$", re.MULTILINE | re.IGNORECASE)
LOCATION = re.compile(r"^X-LIC-LOCATION(?:;[^:\n]*)?:(.*)$", re.MULTILINE | re.IGNORECASE)
STANDARD = re.compile(r"^BEGIN:STANDARD\n(?:(?!END:).*\n)*?TZOFFSETTO:([+-]\d{4,6})$", re.MULTILINE | re.IGNORECASE)
DAYLIGHT = re.compile(r"^BEGIN:DAYLIGHT\n(?:(?!END:).*\n)*?TZOFFSETTO:([+-]\d{4,6})$", re.MULTILINE | re.IGNORECASE)


def described_in(text: str) -> dict[str, str]:
    """Name → VTIMEZONE, of an unfolded object; the first of each name."""
    found: dict[str, str] = {}
    for one in VTIMEZONE.finditer(text):
        if (named := TZID.search(one[1])) is not None:
            found.setdefault(named[1].strip(), one[1])
    return found


def zone_described(block: str) -> tzinfo | None:
    """As a VTIMEZONE has it: the zone it names, one of the same offsets, or a fixed one."""
    located = LOCATION.search(block)
    if located is not None and (zone := zone_named(located[1])) is not None:
        return zone
    standards, daylights = STANDARD.findall(block), DAYLIGHT.findall(block)
    if not standards and not daylights:
        return None
    winter = _seconds((standards or daylights)[-1])
    summer = _seconds(daylights[-1]) if daylights and standards else winter
    return zone_named(LIKE.get((winter, summer), "")) or timezone(timedelta(seconds=winter))


def _seconds(offset: str) -> int:
    sign = -1 if offset[0] == "-" else 1
    return sign * min(int(offset[1:3]) * 3600 + int(offset[3:5]) * 60, 14 * 3600)
