"""`parvis cost`: what was paid and used goes in, what an agent costs a year comes out, explained and verified."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parvis_suite.plainly import Refusal, chosen, plainly, platform_of, run_here

if TYPE_CHECKING:
    from parvis_billing.actions import CostPlan, UsagePlan
    from parvis_billing.rules.explanation import Explanation
    from parvis_billing.rules.report import Report
    from parvis_kit.service import Service

LINES_SHOWN = 20
"""The rest is counted; --refused writes all of them."""
FORMATS = ("table", "json", "csv", "html")
PERIMETERS = ("hosting", "suite", "complete")
"""As billing names them, which is not imported for a help text."""


@click.group()
def cost() -> None:
    """Import what was paid and used, close months, and report, explain and verify what an agent costs a year."""


@asynccontextmanager
async def billing() -> AsyncIterator[Service]:
    from parvis_kit.context import acting_as

    from parvis_suite.assembly import refuse_behind_head

    [service] = chosen(("billing",), platform_of())
    acting_as("parvis cost")
    try:
        await refuse_behind_head([service])
        yield service
    finally:
        await service.database.close()


def read(path: Path, bytes_max: int) -> bytes:
    """A byte more than may be, at most: its reader then says that it is too large."""
    with path.open("rb") as opened:
        return opened.read(bytes_max + 1)


@cost.command("import-usage")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what the file would do, and keep nothing.")
@click.option("--refused", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the refused lines, each with its reason.")
@click.option("--skip-refused", is_flag=True, help="Take in the other lines though some are refused.")
@click.option("--yes", is_flag=True, help="Approve it without being asked.")
@plainly
def import_usage(file: Path, dry_run: bool, refused: Path | None, skip_refused: bool, yes: bool) -> None:
    """Take in use of past months, or of a service outside Parvis: CSV with month, ministry, agent, meter, quantity."""
    run_here(_import_usage(file, dry_run, refused, skip_refused, yes))


async def _import_usage(file: Path, dry_run: bool, refused: Path | None, skip_refused: bool, yes: bool) -> None:
    from parvis_billing import actions
    from parvis_billing.rules.usage_files import FILE_BYTES_MAX

    from parvis_suite.audit_commands import operator

    async with billing() as service:
        database, now = service.database, service.clock()
        plan = await actions.plan_usage(database, read(file, FILE_BYTES_MAX), file.name, now=now)
        tell_usage(plan, refused)
        if dry_run:
            return
        if plan.refused and not skip_refused:
            raise Refusal("nothing was taken in: mend the refused lines, or add --skip-refused")
        if not plan.new and not plan.changed:
            click.echo("nothing to do: all of it is there already")
            return
        if not yes:
            click.confirm("Take it in?", abort=True)
        async with database.transaction() as tx:
            number = await actions.keep_usage(tx, plan, now=now, **operator())
        click.echo(f"done: {number} lines taken in, {plan.unchanged} were there already")


def tell_usage(plan: UsagePlan, refused: Path | None) -> None:
    click.echo(f"{plan.name}: {len(plan.new)} new, {len(plan.changed)} changed, {plan.unchanged} unchanged, {len(plan.refused)} refused")
    for line in plan.refused[:LINES_SHOWN]:
        click.echo(f"  line {line.line}: {line.reason}")
    if len(plan.refused) > LINES_SHOWN:
        click.echo(f"  … and {len(plan.refused) - LINES_SHOWN} more: --refused FILE writes all of them")
    if refused is not None:
        import csv

        with refused.open("w", encoding="utf-8-sig", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("line", "reason"))
            writer.writerows((one.line, one.reason) for one in plan.refused)
        click.echo(f"wrote {refused}")


@cost.command("import-costs")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what the files would do, and keep nothing.")
@click.option("--yes", is_flag=True, help="Approve it without being asked.")
@plainly
def import_costs(files: tuple[Path, ...], dry_run: bool, yes: bool) -> None:
    """Take in cost items, allocation keys, prices and public figures, with their sources: TOML, or CSV for items."""

    async def work() -> None:
        from parvis_billing import actions
        from parvis_billing.rules.cost_files import FILE_BYTES_MAX

        from parvis_suite.audit_commands import operator

        async with billing() as service:
            for file in files:
                plan = await actions.plan_costs(service.database, read(file, FILE_BYTES_MAX), file.name)
                tell_costs(plan)
                if dry_run or not plan.changes:
                    continue
                if not yes:
                    click.confirm("Take it in?", abort=True)
                async with service.database.transaction() as tx:
                    number = await actions.keep_costs(tx, plan, now=service.clock(), **operator())
                click.echo(f"done: {number} taken in")

    run_here(work())


def tell_costs(plan: CostPlan) -> None:
    same = len(plan.steps) - len(plan.changes)
    click.echo(f"{plan.name}: {len(plan.changes)} new or changed, {same} unchanged")
    for step in plan.changes:
        click.echo(f"  line {step.line}: {step.verdict} {step.kind} {step.id}")
    if plan.late_months:
        click.echo(f"  concerns closed months, which stay as they are: corrections for {', '.join(plan.late_months)}")


@cost.command()
@click.argument("month", required=False)
@plainly
def run(month: str | None) -> None:
    """Compute a month, or all that are open, from what was paid and used; late facts become corrections."""

    async def work() -> None:
        from parvis_billing import actions
        from parvis_billing.rules import months
        from parvis_billing.rules.money import plain

        async with billing() as service:
            asked = [months.checked(month)] if month else await actions.months_to_run(service.database, service.clock())
            if not asked:
                click.echo("nothing to do: nothing was paid or used yet")
            for one in asked:
                ran = await actions.run(service.database, one, now=service.clock())
                corrected = f", corrects {', '.join(ran.corrected)}" if ran.corrected else ""
                click.echo(f"{one}: {plain(ran.total_cents)} €{corrected}, postings {ran.postings_sha256[:16]}")

    run_here(work())


@cost.command()
@click.argument("month")
@plainly
def close(month: str) -> None:
    """Make a month final, after its end and in the order of months. What comes later is a correction in an open month."""

    async def work() -> None:
        from parvis_billing import actions
        from parvis_billing.rules import months
        from parvis_billing.rules.money import plain

        from parvis_suite.audit_commands import operator

        async with billing() as service:
            period = await actions.close(service.database, months.checked(month), now=service.clock(), **operator())
            click.echo(f"{period.month} is closed: {plain(period.total_cents)} €, {period.hash}")

    run_here(work())


@cost.command()
@click.option("--from", "first", help="The first month, as 2026-01; by default the last twelve.")
@click.option("--to", "last", help="The last month.")
@click.option("--basis", type=click.Choice(["booked", "restated"]), default="booked", show_default=True, help="Where corrections count.")
@click.option("--format", "shape", type=click.Choice(FORMATS), default="table", show_default=True, help="How it is written.")
@click.option("--lang", type=click.Choice(["fr", "en"]), default="fr", show_default=True, help="Of the table and the page.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it; by default here.")
@click.option("--public", is_flag=True, help="For readers beyond finance: nothing about fewer than eleven agents.")
@plainly
def report(first: str | None, last: str | None, basis: str, shape: str, lang: str, output: Path | None, public: bool) -> None:
    """What an agent costs a year, by ministry and service, in three perimeters, with the range over allocation keys."""

    async def work() -> Report:
        from parvis_billing.queries.reports import report as asked

        async with billing() as service, service.database.read() as conn:
            return await asked(conn, first, last, basis, service.settings.target_eur)  # type: ignore[arg-type]

    found = run_here(work())
    if public:
        from parvis_billing.rules.disclosure import disclosed

        found = disclosed(found)
    text = written(found, shape, lang)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8", newline="")
        click.echo(f"wrote {output}")


def written(found: Report, shape: str, language: str) -> str:
    from parvis_billing.rules import report_page, report_texts

    match shape:
        case "json":
            return report_texts.as_json(found) + "\n"
        case "csv":
            return report_texts.as_csv(found)
        case "html":
            return report_page.as_html(found, language)
        case _:
            return report_texts.as_table(found, language)


@cost.command()
@click.option("--from", "first", help="The first month, as 2026-01; by default the last twelve.")
@click.option("--to", "last", help="The last month.")
@click.option("--perimeter", type=click.Choice(PERIMETERS), default="complete", show_default=True, help="They are never mixed.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it; by default here.")
@plainly
def export(first: str | None, last: str | None, perimeter: str, output: Path | None) -> None:
    """What was booked, as FOCUS 1.2 in CSV: billed costs sum to the invoices, effective costs to what ministries bear."""

    async def work() -> tuple[str, int]:
        from parvis_billing.queries.reports import focus

        async with billing() as service, service.database.read() as conn:
            return await focus(conn, first, last, perimeter)

    text, charges = run_here(work())
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8", newline="")
        click.echo(f"wrote {output}: {charges} charges")


@cost.command()
@click.argument("agent")
@click.argument("month", required=False)
@click.option("--format", "shape", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is written.")
@click.option("--reason", default="", help="Why you look; it is written down.")
@plainly
def explain(agent: str, month: str | None, shape: str, reason: str) -> None:
    """Walk an agent's figure (e-mail or id) back to invoices, keys and weights, to the micro-euro. That you looked is written down."""

    async def work() -> Explanation:
        from parvis_billing.queries import explanations
        from parvis_kit.audit import record

        from parvis_suite.audit_commands import operator

        async with billing() as service:
            async with service.database.transaction() as tx:
                agent_id = await explanations.agent_named(tx, agent)
                now = service.clock()
                await record(tx, what="cost.explain", on=agent_id, ministry=None, at=now, why=reason or (month or ""), **operator())
            async with service.database.read() as conn:
                return await explanations.explain(conn, agent_id, month)

    found = run_here(work())
    if shape == "json":
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(found), default=str, ensure_ascii=False, indent=1))
    else:
        from parvis_billing.rules.explanation_text import as_text

        click.echo(as_text(found), nl=False)
    sys.exit(0 if found.agrees else 1)


@cost.command()
@plainly
def verify() -> None:
    """Count every posting, weight, invoice and hash again. Exit status 1 names each that is not as it was booked."""

    async def work() -> int:
        from parvis_billing.queries.verification import verify as verified

        async with billing() as service:
            runs, wrong = await verified(service.database)
        for one in wrong:
            click.echo(f"WRONG {one.what}: {one.how}")
        click.echo(f"{runs} runs counted again, {len(wrong)} things wrong" if wrong else f"ok: {runs} runs counted again, all as booked")
        return len(wrong)

    sys.exit(1 if run_here(work()) else 0)
