"""What the demonstration costs and used: public figures with their sources, and twelve months of use through the import."""

import asyncio
import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from parvis_billing import actions
from parvis_billing.queries.reports import months_booked
from parvis_billing.rules import ACTIVE, SEATS, months
from parvis_directory.rules import Ministry, Person
from parvis_kit.service import Service

FOLDER = Path(__file__).parent
FILES = (FOLDER / "costs.toml", FOLDER / "benchmarks.toml")
MONTHS = 12
WAIT_SECONDS_MAX, LOOK_SECONDS = 20.0, 0.05
USAGE_NAME = "demonstration.csv"
WHO = "demonstration"


async def seed_costs(billing: Service, ministries: Sequence[Ministry], people: Sequence[Person]) -> None:
    """Done twice, it is done once. Waits until billing knows everybody; what it then cannot read stays out."""
    database, now = billing.database, billing.clock()
    raw = usage_csv(ministries, people, now)
    plan = await actions.plan_usage(database, raw, USAGE_NAME, now=now)
    until = asyncio.get_running_loop().time() + WAIT_SECONDS_MAX
    while plan.refused and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(LOOK_SECONDS)
        plan = await actions.plan_usage(database, raw, USAGE_NAME, now=now)
    async with database.transaction() as tx:
        await actions.keep_usage(tx, plan, who=WHO, now=now)
    for path in FILES:
        costs = await actions.plan_costs(database, path.read_bytes(), path.name)
        async with database.transaction() as tx:
            await actions.keep_costs(tx, costs, who=WHO, now=now)
    async with database.read() as conn:
        done = await months_booked(conn)
    this_month = months.month_of(now)
    for month in months.between(months.back(this_month, MONTHS), this_month):
        if month not in done or month == this_month:
            await actions.run(database, month, now=now)


def usage_csv(ministries: Sequence[Ministry], people: Sequence[Person], now: datetime) -> bytes:
    """Of the twelve months before this one."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(("month", "ministry", "agent", "meter", "quantity"))
    sirens = {one.id: one.siren for one in ministries}
    this_month = months.month_of(now)
    for age, month in enumerate(months.between(months.back(this_month, MONTHS), months.before(this_month))):
        for number, person in enumerate(people):
            for meter, quantity in use_of(number, age, person.kind == "guest", months.days(month)):
                writer.writerow((month, sirens[person.ministry_id], person.email, meter, quantity))
    return written.getvalue().encode()


def use_of(number: int, age: int, is_guest: bool, days: int) -> Iterator[tuple[str, str]]:
    """Made up, and always the same: most work with it, and files grow."""
    if not is_guest:
        yield SEATS, "1"
        if (3 * number + age) % 7:
            yield ACTIVE, "1"
    gigabytes = 4 + number * 7 % 11 + age
    yield "files.gb_hours", str(gigabytes * days * 24)
    if (number + age) % 3:
        yield "messaging.messages", str(20 + number * 37 % 150)
