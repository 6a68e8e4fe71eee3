"""A ministry's file of agents beside what belongs to other ministries: their domains, directorates that went there, and mergers."""

from uuid import UUID

from parvis_directory import actions

from .conftest import Town
from .roster_files import TITLES, aboard, bring, confirm, file_of, look, person, reasons, send, work
from .test_domains import Zone, prove
from .test_domains import resolve as resolve
from .test_domains import zone as zone
from .test_moves import history, move, run, transfer, unit, where


async def test_a_line_with_an_address_of_another_ministry_s_domain_is_refused(town: Town, zone: Zone) -> None:
    await prove(town, zone, "eve", "ecologie", person(1)[TITLES.index("courriel")].rpartition("@")[2])
    _, job = await send(town, file_of([person(1)]))
    assert job["plan"] == {"reject": 1}
    assert list((await reasons(town, job)).values()) == ["email-taken"]


async def test_who_is_aboard_already_keeps_an_address_whose_domain_went_to_another(town: Town, zone: Zone) -> None:
    await bring(town, file_of([person(1)]))
    [shown] = (await aboard(town)).values()
    await prove(town, zone, "eve", "ecologie", shown.email.rpartition("@")[2])
    assert (await bring(town, file_of([person(1, nom="Durand")])))["done"] == {"update": 1}


async def test_a_line_that_names_a_directorate_that_went_away_is_refused(town: Town) -> None:
    gone = await unit(town, "interieur", "Énergie")
    assert (await transfer(town, "interieur", "ecologie", [gone]))[0] == 201
    await run(town)
    _, job = await send(town, file_of([person(1, direction="ENERGIE")]))
    assert job["plan"] == {"reject": 1} and job["new_directorates"] == []


async def test_a_merger_waits_for_the_file_that_is_worked_through(town: Town) -> None:
    _, job = await send(town, file_of([person(1)]))
    await confirm(town, job)
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    await run(town)
    assert (await history(town, "interieur"))[0]["state"] == "planned"
    await work(town)
    assert (await look(town, job))["state"] == "done"
    await run(town)
    assert (await history(town, "interieur"))[0]["state"] == "done"


async def test_no_file_is_confirmed_in_a_ministry_that_has_merged_or_is_at_it(town: Town) -> None:
    _, job = await send(town, file_of([person(1)]))
    _, made = await transfer(town, "interieur", "ecologie", None)
    async with town.directory.database.transaction() as tx:
        await actions.begin_transfer(tx, UUID(made["id"]), day=town.clock().date(), now=town.clock())
    assert (await confirm(town, job, by="oli"))[0] == 409
    await run(town)
    assert (await confirm(town, job, by="oli"))[0] == 409


async def test_an_identifier_is_the_old_ministry_s_and_stays_there(town: Town) -> None:
    await bring(town, file_of([person(1)]))
    [shown] = (await aboard(town)).values()
    town.ids["one"] = shown.id
    assert (await move(town, "one", "ecologie", None))[0] == 200
    assert await where(town, "one") == town.ministries["ecologie"]
    assert await aboard(town) == {}
