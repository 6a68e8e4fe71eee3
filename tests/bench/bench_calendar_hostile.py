"""What each line of hostile data costs calendar, put and then met by a week that is read: CPU of our process, on PostgreSQL."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "calendar", "tests/calendar")] + [str(Path(__file__).parent)]

import hostile  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from bench_calendar import NAMESPACES, CalendarServer, octets, this_monday  # noqa: E402
from bench_directory import postgres  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402

BAR_MS = 200.0
STATUS = b"HTTP/1.1 "


class Victim(CalendarServer):
    """One agent's agenda, to which all of it is sent."""

    def spent(self, sent: bytes) -> tuple[float, int]:
        """Milliseconds of CPU, and the status; a connection that was closed on the way is opened anew."""
        before = self.worked_nanoseconds()
        with self.connected() as connection:
            try:
                connection.sendall(sent)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before it was all sent: the answer is there
            answer = b""
            while piece := connection.recv(262144):
                answer += piece
        return (self.worked_nanoseconds() - before) / 1e6, int(answer[9:12]) if answer.startswith(STATUS) else 0

    def worked_nanoseconds(self) -> int:
        """By all of its threads: what is large is read in one of its own."""
        return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"))

    def json(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A request to a door in JSON."""
        headers = {"Authorization": f"Bearer {self.said['token']}", "Content_Type": "application/json", "Idempotency_Key": "hostile"}
        return self.request(method, f"/api/calendar/v1/{path}", body, Connection="close", **headers)

    def connected(self):  # type: ignore[no-untyped-def]
        import socket

        return socket.create_connection(self.connections[0].getpeername(), timeout=60)


def measure(victim: Victim) -> list[tuple[str, float, int]]:
    monday = this_monday()
    times = f'start="{monday:%Y%m%dT%H%M%SZ}" end="{monday.replace(hour=23):%Y%m%dT%H%M%SZ}"'
    events = f'<C:comp-filter name="VEVENT"><C:time-range {times}/></C:comp-filter>'
    asked = f'<C:filter><C:comp-filter name="VCALENDAR">{events}</C:comp-filter></C:filter>'
    wanted = f"<D:prop><C:calendar-data><C:expand {times}/></C:calendar-data></D:prop>"
    body = f"<C:calendar-query {NAMESPACES}>{wanted}{asked}</C:calendar-query>".encode()
    week = victim.request("REPORT", victim.said["agenda"], body, Depth="1", Connection="close")
    begins, ends = (f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in (monday, monday + timedelta(days=62)))
    lists = victim.json("GET", f"events?from={begins}&to={ends}")
    own = {"agents": [victim.said["ada"]], "starts_at": begins, "ends_at": ends}
    free = victim.json("POST", "availability", json.dumps(own).encode())
    path = f"{victim.said['agenda']}hostile.ics"
    victim.spent(
        victim.request("PUT", f"{victim.said['agenda']}plain.ics", octets(1, monday), Content_Type="text/calendar", Connection="close")
    )
    found = []
    for what, content, _ in hostile.objects():
        spent, status = victim.spent(victim.request("PUT", path, content, Content_Type="text/calendar", Connection="close"))
        again, _ = victim.spent(victim.request("PUT", path, content, Content_Type="text/calendar", Connection="close"))
        read, _ = victim.spent(week)
        doors = [(f"  and {door} with it: {what}", *victim.spent(sent)) for door, sent in (("events", lists), ("availability", free))]
        victim.spent(victim.request("DELETE", path, b"", Connection="close"))
        found += [
            (what, spent, status),
            (f"  and put again: {what}", again, status),
            (f"  and a week read with it: {what}", read, 207),
            *doors,
        ]
    for what, method, content, _ in hostile.requests():
        found.append((what, *victim.spent(victim.request(method, victim.said["agenda"], content, Depth="1", Connection="close"))))
    return found


def main() -> int:
    with postgres() as url:
        place = PostgresServer(url)
        database = place.create()
        os.environ.update(BENCH_DATABASE_URL=database, BENCH_CALENDAR_EMPTY="1")
        try:
            victim = Victim()
            try:
                found = measure(victim)
            finally:
                victim.stop()
        finally:
            place.drop(database)
    for what, spent, status in found:
        print(f"{verdict(spent <= BAR_MS)}{spent:7.1f} ms  {status}  {what}")
    print(f"bar: {BAR_MS:.0f} ms of CPU each; the most was {max(spent for _, spent, _ in found):.1f} ms")
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
