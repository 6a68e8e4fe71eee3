"""When things take place: equal to a slow and well-known library's answer, right around changes of the clock, and with bounded work."""

import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from parvis_calendar.rules.instances import Instance, Instances, busy_spans, instances
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.recurrence import Unexpandable, Work, occurrences
from parvis_calendar.rules.rrules import read_rule
from parvis_calendar.rules.times import datetime_of, read_time

PARIS, CAYENNE, NEW_YORK = ZoneInfo("Europe/Paris"), ZoneInfo("America/Cayenne"), ZoneInfo("America/New_York")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def ics(*lines: str, extra: str = "") -> bytes:
    body = "\r\n".join(lines)
    if "UID:" not in body:
        body = "UID:one@example.org\r\nDTSTAMP:20260101T000000Z\r\n" + body
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t\r\nBEGIN:VEVENT\r\n{body}\r\nEND:VEVENT\r\n{extra}END:VCALENDAR\r\n".encode()


def override(*lines: str) -> str:
    body = "\r\n".join(lines)
    return f"BEGIN:VEVENT\r\nUID:one@example.org\r\nDTSTAMP:20260101T000000Z\r\n{body}\r\nEND:VEVENT\r\n"


def wall(year: int, month: int, day: int) -> datetime:
    """What a clock shows, wherever it hangs."""
    return datetime(year, month, day)  # noqa: DTZ001


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type,misc]


def seen(octets: bytes, start: datetime, end: datetime, home: ZoneInfo = PARIS) -> Instances:
    return instances(read_object(octets), int(start.timestamp()), int(end.timestamp()), home)


def between(octets: bytes, first: date, last: date, home: ZoneInfo = PARIS) -> list[str]:
    """When instances begin and end, as a clock in `home` shows it."""
    start, end = (datetime(one.year, one.month, one.day, tzinfo=home) for one in (first, last))
    return [said(one, home) for one in seen(octets, start, end, home).found]


def said(one: Instance, home: ZoneInfo) -> str:
    zone = UTC if one.is_floating else home
    first, last = (datetime.fromtimestamp(moment, UTC).astimezone(zone) for moment in (one.starts_at, one.ends_at))
    return f"{first:%Y-%m-%d %H:%M}–{last:%H:%M}" if first.date() == last.date() else f"{first:%Y-%m-%d %H:%M}–{last:%Y-%m-%d %H:%M}"


@st.composite
def rules(draw: Any) -> str:
    """What people and clients write; only parts that RFC 5545 allows with the frequency."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY", "HOURLY"]))
    parts = [f"FREQ={frequency}"]
    if draw(st.booleans()):
        parts.append(f"INTERVAL={draw(st.integers(1, 5))}")

    def some(name: str, values: st.SearchStrategy[Any], most: int = 4) -> None:
        if draw(st.integers(0, 2)) == 0:
            parts.append(f"{name}={','.join(str(one) for one in draw(st.lists(values, min_size=1, max_size=most, unique=True)))}")

    if frequency != "HOURLY":
        some("BYMONTH", st.integers(1, 12))
    if frequency == "MONTHLY" or (frequency == "YEARLY" and any(one.startswith("BYMONTH=") for one in parts)):
        if draw(st.booleans()):
            nth = st.sampled_from(draw(st.sampled_from([("",), ("1", "2", "5", "-1", "-2")])))  # dateutil takes 2MO,TH for both at once
            some("BYDAY", st.tuples(nth, st.sampled_from(DAYS)).map("".join))
        else:
            some("BYMONTHDAY", st.sampled_from([1, 2, 13, 28, 29, 30, 31, -1, -3, -31]))
    elif frequency == "YEARLY":
        which = draw(st.sampled_from(["BYWEEKNO", "BYYEARDAY", "BYDAY", ""]))
        if which == "BYWEEKNO":
            parts.append(f"BYWEEKNO={draw(st.sampled_from([1, 2, 20, 52, 53, -1]))};BYDAY={draw(st.sampled_from(DAYS))}")
        elif which == "BYYEARDAY":
            parts.append(f"BYYEARDAY={draw(st.sampled_from([1, 60, 365, 366, -1, -366]))}")
        elif which:
            parts.append(f"BYDAY={draw(st.sampled_from(['1', '-1', '20', '53', '']))}{draw(st.sampled_from(DAYS))}")
    else:
        some("BYDAY", st.sampled_from(DAYS), 7)
    some("BYHOUR", st.integers(0, 23), 3)
    some("BYMINUTE", st.sampled_from([0, 15, 30, 59]), 2)
    if len(parts) > 1 and any(one.startswith("BY") for one in parts) and draw(st.integers(0, 3)) == 0:
        parts.append(f"BYSETPOS={draw(st.sampled_from(['1', '-1', '2', '1,-1', '3']))}")
    if draw(st.booleans()):
        parts.append(f"WKST={draw(st.sampled_from(DAYS))}")
    if draw(st.integers(0, 2)) == 0:
        parts.append(f"COUNT={draw(st.integers(1, 40))}")
    elif draw(st.integers(0, 2)) == 0:
        parts.append(f"UNTIL=202{draw(st.integers(4, 9))}0{draw(st.integers(1, 9))}15T120000")
    return ";".join(parts)


@given(rule=rules(), start=st.datetimes(wall(2019, 1, 1), wall(2026, 1, 1)), into=st.integers(0, 2500), days=st.integers(1, 400))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_rule_names_what_dateutil_says_it_names(rule: str, start: datetime, into: int, days: int) -> None:
    start = start.replace(microsecond=0)
    low = start + timedelta(days=into)
    high = low + timedelta(days=days)
    written = read_time(f"{start:%Y%m%dT%H%M%S}", None)
    assume(len(list(occurrences(read_rule(rule), written, _local(start), _local(start + timedelta(days=1500)), Work(10**6)))) > 3)
    slow = rrulestr(rule, dtstart=start)  # which looks for what never is until the year 9999: so something must be
    expected = []
    for found in slow:
        if found >= high:
            break
        if found >= low:
            expected.append(found)
        if len(expected) > 3000:
            return
    first = next(iter(slow), None)
    if first != start and "COUNT" in rule:
        return  # ours counts the first occurrence, as RFC 5545 has it; dateutil leaves out one that the rule does not name
    if "WEEKLY" in rule and "BYSETPOS" in rule and start.weekday():
        return  # the first week has all its days for RFC 5545; dateutil counts positions from the day of the start on
    mine = list(occurrences(read_rule(rule), written, _local(low), _local(high), Work(200_000)))
    ours = [one for one in map(datetime_of, mine) if one != start or first == start]
    assert ours == expected


def _local(one: datetime) -> int:
    return int(one.replace(tzinfo=UTC).timestamp())


@st.composite
def series(draw: Any) -> bytes:
    """An event with dates added and left out, moved occurrences, in a zone, floating, or of whole days."""
    kind = draw(st.sampled_from(["zone", "utc", "floating", "day"]))
    start = draw(st.datetimes(wall(2025, 1, 1), wall(2025, 12, 1))).replace(second=0, microsecond=0, minute=0)

    def written(name: str, one: datetime) -> str:
        if kind == "day":
            return f"{name};VALUE=DATE:{one:%Y%m%d}"
        if kind == "zone":
            return f"{name};TZID=Europe/Paris:{one:%Y%m%dT%H%M%S}"
        return f"{name}:{one:%Y%m%dT%H%M%S}{'Z' if kind == 'utc' else ''}"

    rule = draw(st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY", "FREQ=DAILY;INTERVAL=3", "FREQ=MONTHLY;BYMONTHDAY=" + str(start.day)]))
    count = draw(st.integers(3, 60))
    every = list(rrulestr(f"{rule};COUNT={count}", dtstart=start))
    length = timedelta(days=draw(st.integers(1, 3))) if kind == "day" else timedelta(hours=draw(st.integers(1, 6)))
    lines = [written("DTSTART", start), written("DTEND", start + length), f"RRULE:{rule};COUNT={count}"]
    left_out = draw(st.lists(st.sampled_from(every[1:]), max_size=3, unique=True))
    lines += [written("EXDATE", one) for one in left_out]
    moved = ""
    for one in draw(st.lists(st.sampled_from(every[1:]), max_size=3, unique=True)):
        if one not in left_out:
            to = one + timedelta(days=draw(st.integers(-40, 40)), hours=0 if kind == "day" else draw(st.integers(-5, 5)))
            sequence = draw(st.integers(0, 3))
            moved += override(written("RECURRENCE-ID", one), written("DTSTART", to), written("DTEND", to + length), f"SEQUENCE:{sequence}")
    return ics(*lines, extra=moved)


@given(octets=series(), into=st.integers(-30, 300), days=st.integers(1, 200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_series_takes_place_when_the_oracle_says(octets: bytes, into: int, days: int) -> None:
    start = datetime(2025, 6, 1, tzinfo=PARIS) + timedelta(days=into)
    end = start + timedelta(days=days)
    theirs = recurring_ical_events.of(icalendar.Calendar.from_ical(octets)).between(start, end)
    ours = seen(octets, start, end).found
    assert sorted(_begins(one) for one in ours) == sorted(_theirs(one) for one in theirs)


def _begins(one: Instance) -> int:
    return one.starts_at


def _theirs(event: Any) -> int:
    begins = event["DTSTART"].dt
    if not isinstance(begins, datetime):
        begins = wall(begins.year, begins.month, begins.day)
    return int((begins if begins.tzinfo else begins.replace(tzinfo=UTC)).timestamp())


def test_a_weekly_meeting_keeps_its_hour_when_the_clocks_change() -> None:
    weekly = ics("DTSTART;TZID=Europe/Paris:20260316T090000", "DTEND;TZID=Europe/Paris:20260316T100000", "RRULE:FREQ=WEEKLY")
    assert between(weekly, date(2026, 3, 23), date(2026, 4, 1)) == ["2026-03-23 09:00–10:00", "2026-03-30 09:00–10:00"]
    assert [one.starts_at for one in seen(weekly, datetime(2026, 3, 23, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)).found] == [
        at(2026, 3, 23, 8), at(2026, 3, 30, 7),
    ]  # fmt: skip


def test_an_hour_that_the_clocks_skip_comes_after_the_gap_and_one_they_show_twice_is_the_first() -> None:
    nightly = ics("DTSTART;TZID=Europe/Paris:20260328T023000", "DURATION:PT30M", "RRULE:FREQ=DAILY;COUNT=2")
    assert between(nightly, date(2026, 3, 28), date(2026, 3, 31)) == ["2026-03-28 02:30–03:00", "2026-03-29 03:30–04:00"]
    twice = ics("DTSTART;TZID=Europe/Paris:20261025T023000", "DURATION:PT30M")
    found = seen(twice, datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC)).found
    assert [one.starts_at for one in found] == [at(2026, 10, 25, 0, 30)]


def test_a_day_is_a_day_wherever_one_looks_from() -> None:
    holiday = ics("DTSTART;VALUE=DATE:20260714", "DTEND;VALUE=DATE:20260715", "TRANSP:OPAQUE")
    for home in (PARIS, CAYENNE):
        found = seen(holiday, datetime(2026, 7, 14, tzinfo=home), datetime(2026, 7, 15, tzinfo=home), home).found
        assert [said(one, home) for one in found] == ["2026-07-14 00:00–2026-07-15 00:00"]
        before = seen(holiday, datetime(2026, 7, 13, tzinfo=home), datetime(2026, 7, 14, tzinfo=home), home).found
        assert not before
    window = (int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 8, 1, tzinfo=UTC).timestamp()))
    assert busy_spans(read_object(holiday), *window, CAYENNE) == [(at(2026, 7, 14, 3), at(2026, 7, 15, 3), 1)]


def test_a_daily_event_of_2016_takes_place_today() -> None:
    daily = ics("DTSTART;TZID=Europe/Paris:20160104T080000", "DTEND;TZID=Europe/Paris:20160104T083000", "RRULE:FREQ=DAILY")
    assert between(daily, date(2026, 11, 25), date(2026, 11, 26)) == ["2026-11-25 08:00–08:30"]


def test_an_override_replaces_its_occurrence_whatever_its_sequence() -> None:
    moved = override("RECURRENCE-ID:20260302T080000Z", "SEQUENCE:7", "DTSTART:20260303T140000Z", "DTEND:20260303T150000Z")
    weekly = ics("DTSTART;TZID=Europe/Paris:20260223T090000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY", extra=moved)
    assert between(weekly, date(2026, 3, 1), date(2026, 3, 8)) == ["2026-03-03 15:00–16:00"]


def test_this_and_the_future_ones_are_moved_together() -> None:
    later = override(
        "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Paris:20260309T090000",
        "DTSTART;TZID=Europe/Paris:20260310T110000",
        "DTEND;TZID=Europe/Paris:20260310T130000",
    )
    alone = override("RECURRENCE-ID;TZID=Europe/Paris:20260323T090000", "DTSTART;TZID=Europe/Paris:20260323T080000", "DURATION:PT15M")
    weekly = ics("DTSTART;TZID=Europe/Paris:20260223T090000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY", extra=later + alone)
    assert between(weekly, date(2026, 3, 1), date(2026, 4, 1)) == [
        "2026-03-02 09:00–10:00", "2026-03-10 11:00–13:00", "2026-03-17 11:00–13:00", "2026-03-23 08:00–08:15", "2026-03-31 11:00–13:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["Romance Standard Time", "/mozilla.org/20050126_1/Europe/Paris", '"Europe/Paris"', "/freeassociation.sourceforge.net/Europe/Paris"],
)
def test_a_zone_is_known_by_the_name_that_a_client_gives_it(name: str) -> None:
    one = ics(f"DTSTART;TZID={name}:20260715T090000", "DURATION:PT1H")
    assert between(one, date(2026, 7, 15), date(2026, 7, 16)) == ["2026-07-15 09:00–10:00"]


def test_iana_wins_over_what_a_client_says_of_a_zone_and_its_word_counts_for_a_zone_of_its_own() -> None:
    def block(name: str, winter: str, summer: str) -> str:
        return (
            f"BEGIN:VTIMEZONE\r\nTZID:{name}\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:{summer}\r\nTZOFFSETTO:{winter}\r\n"
            f"END:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:19700601T000000\r\nTZOFFSETFROM:{winter}\r\nTZOFFSETTO:{summer}\r\nEND:DAYLIGHT\r\n"
            "END:VTIMEZONE\r\n"
        )

    wrong = ics("DTSTART;TZID=Europe/Paris:20260715T090000", "DURATION:PT1H", extra=block("Europe/Paris", "-0500", "-0400"))
    assert between(wrong, date(2026, 7, 15), date(2026, 7, 16)) == ["2026-07-15 09:00–10:00"]
    own = ics("DTSTART;TZID=Chez nous:20260715T090000", "DURATION:PT1H", extra=block("Chez nous", "-0500", "-0400"))
    assert between(own, date(2026, 7, 15), date(2026, 7, 16), NEW_YORK) == ["2026-07-15 09:00–10:00"]


def test_what_is_transparent_or_cancelled_makes_nobody_busy() -> None:
    window = (at(2026, 3, 1), at(2026, 3, 8))
    for line, busy in (("TRANSP:TRANSPARENT", []), ("STATUS:CANCELLED", []), ("STATUS:TENTATIVE", [2]), ("CLASS:PRIVATE", [1])):
        one = ics("DTSTART:20260302T080000Z", "DTEND:20260302T090000Z", line)
        assert [span[2] for span in busy_spans(read_object(one), *window, PARIS)] == busy


def test_all_of_a_series_that_ends_within_the_window_are_all_there_are() -> None:
    year = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    start = ("DTSTART:20260302T080000Z", "DTEND:20260302T090000Z")
    assert seen(ics(*start), *year).is_whole
    assert seen(ics(*start, "RRULE:FREQ=DAILY;UNTIL=20260401T000000Z"), *year).is_whole
    assert not seen(ics(*start, "RRULE:FREQ=DAILY"), *year).is_whole
    assert not seen(ics(*start, "RRULE:FREQ=DAILY;UNTIL=20280401T000000Z"), *year).is_whole


BY_ALL = (
    "FREQ=YEARLY;BYMONTH=1,2,3,4,5,6,7,8,9,10,11,12;BYWEEKNO=" + ",".join(map(str, range(1, 54)))
    + ";BYYEARDAY=" + ",".join(map(str, range(1, 120))) + ";BYMONTHDAY=" + ",".join(map(str, range(1, 32))) + ";BYDAY=" + ",".join(DAYS)
    + ";BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=" + ",".join(map(str, range(60)))
)  # fmt: skip
HOSTILE = {
    "every second": ("19700101T000000Z", "FREQ=SECONDLY"),
    "every second of a day that never is": ("20260101T000000Z", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"),
    "every minute": ("20260101T000000Z", "FREQ=MINUTELY"),
    "a day that never is": ("20260101T000000Z", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"),
    "a day that never is, counted": ("00010101T000000Z", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31;COUNT=10"),
    "from the year 1": ("00010101T000000Z", "FREQ=DAILY"),
    "from the year 1, by hours": ("00010101T000000Z", "FREQ=HOURLY;BYMINUTE=0,1,2,3,4,5,6,7,8,9"),
    "from the year 1, counted": ("00010101T000000Z", "FREQ=WEEKLY;BYDAY=MO,TU,WE;COUNT=999999999"),
    "every part at once": ("20260101T000000Z", BY_ALL),
    "every part at once, by seconds too": ("00010101T000000Z", BY_ALL + ";BYSECOND=" + ",".join(map(str, range(60)))),
    "the last of very many": (
        "20260101T000000Z",
        "FREQ=YEARLY;BYHOUR=0,1,2,3,4,5;BYMINUTE=0,1,2,3,4,5;BYSECOND=0,1,2;BYSETPOS=-1;BYDAY=MO,TU",
    ),
    "a step beyond time": ("20260101T000000Z", "FREQ=YEARLY;INTERVAL=999999999"),
    "the end of time": ("99991231T235959Z", "FREQ=DAILY"),
}


CALLS_MAX = 1_000_000
"""Calls and returns: more than twice what the worst of them takes."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_rule_is_answered_with_little_work(name: str) -> None:
    """Counted in calls, which no neighbour on the machine changes: a peer takes minutes for some of these."""
    start, rule = HOSTILE[name]
    octets = ics(f"DTSTART:{start}", "DURATION:PT1H", f"RRULE:{rule}")
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        found = seen(octets, datetime(2026, 5, 25, tzinfo=UTC), datetime(2028, 11, 25, tzinfo=UTC))
    finally:
        sys.setprofile(None)
    print(f"{calls} calls")
    assert calls < CALLS_MAX
    assert found.is_unexpandable or len(found.found) < 20_001


def test_every_second_is_unexpandable_and_its_first_occurrence_is_still_there() -> None:
    octets = ics("DTSTART:20260601T000000Z", "DURATION:PT1H", "RRULE:FREQ=SECONDLY")
    found = seen(octets, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert found.is_unexpandable and [one.starts_at for one in found.found] == [at(2026, 6, 1)]


def test_work_that_is_spent_is_refused() -> None:
    with pytest.raises(Unexpandable):
        list(occurrences(read_rule("FREQ=DAILY"), read_time("20260101T000000Z", None), 0, at(2100, 1, 1), Work(100)))
