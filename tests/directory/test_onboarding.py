"""A ministry's file at the door: tried, confirmed, worked through; who may, what is refused, and what is said."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from parvis_directory import actions
from parvis_directory import queries as queries_of
from parvis_directory.api.agents import ZONE
from parvis_directory.api.onboarding import FILES_AT_ONCE_MAX, READING
from parvis_directory.rules import onboarding as policy
from parvis_directory.rules import roster
from parvis_kit.testing.databases import queries

from .conftest import ROOT, Town
from .roster_files import TITLES, aboard, bring, confirm, file_of, id_of, lines_of, look, person, reasons, said, send, work

SAMPLE = Path(__file__).parent / "rosters/excel-fr-windows-1252.csv"
JOBS = "/api/directory/v1/onboardings"
AGENTS = "/api/directory/v1/agents"


async def test_a_file_is_tried_confirmed_and_done_and_everybody_hears_of_it(town: Town) -> None:
    before = await said(town)
    status, job = await send(town, SAMPLE.read_bytes())
    assert (status, job["state"], job["plan"]) == (201, "draft", {"create": 11})
    assert (job["encoding"], job["separator"], job["ignored_columns"]) == ("windows-1252", ";", ["Téléphone"])
    assert job["new_directorates"] == ["Direction du numérique", "Direction générale des collectivités locales"]
    assert await said(town) == before and not await aboard(town), "a dry run does nothing"
    assert (await confirm(town, job))[1]["state"] == "running"
    await work(town)
    done = await look(town, job)
    assert (done["state"], done["done"], done["done_steps"], done["steps"]) == ("done", {"create": 11}, 11, 11)
    people = await aboard(town)
    shown = people["000103"]
    assert (shown.given_name, shown.family_name, shown.state, shown.roles) == ("Charles", "D'Artagnan", "active", ["agent"])
    guest = people["000108"]
    assert (guest.kind, guest.expires_at) == ("guest", datetime(2031, 1, 1, 12, tzinfo=UTC))
    kinds = [kind for kind, _ in (await said(town))[len(before) :]]
    assert kinds == ["directory.ministry.state.v1", *["directory.agent.joined.v1", "directory.agent.state.v1"] * 11,
                     "directory.onboarding.completed.v1"]  # fmt: skip


async def test_the_same_file_again_changes_nobody(town: Town) -> None:
    await bring(town, SAMPLE.read_bytes())
    people, facts = await aboard(town), len(await said(town))
    again = await bring(town, SAMPLE.read_bytes())
    assert again["done"] == {"unchanged": 11} and await aboard(town) == people
    assert [kind for kind, _ in (await said(town))[facts:]] == ["directory.onboarding.completed.v1"]


async def test_who_moves_changes_name_or_end_is_updated_and_who_is_not_in_the_file_leaves(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 5)))
    await town.call("POST", AGENTS, by="ada", body={"email": "hand@interieur.example.org", "given_name": "By", "family_name": "Hand"})
    before = await said(town)
    end = (town.clock() + timedelta(days=30)).strftime("%d/%m/%Y")
    changed = [person(1, nom="Durand"), person(2, direction="Direction 0"), person(3, **{"date de départ": end})]
    done = await bring(town, file_of(changed))
    assert done["done"] == {"update": 3, "deactivate": 1}
    people = await aboard(town)
    assert (people["000001"].family_name, people["000004"].state) == ("Durand", "left")
    assert people["000003"].expires_at > town.clock()
    ids = {str(people[f"00000{number}"].id): number for number in range(1, 5)}
    told = [(kind, ids.get(about)) for kind, about in (await said(town))[len(before) :]]
    assert told == [
        ("directory.agent.state.v1", 1), ("directory.agent.moved.v1", 2), ("directory.agent.state.v1", 2), ("directory.agent.state.v1", 3),
        ("directory.agent.left.v1", 4), ("directory.agent.state.v1", 4), ("directory.onboarding.completed.v1", None),
    ]  # fmt: skip
    by_hand = [one for one in (await town.call("GET", f"{AGENTS}?limit=100", by="ada"))[1]["items"] if one["given_name"] == "By"]
    assert by_hand[0]["state"] == "active", "no file brought them, none takes them away"


async def test_a_part_of_the_ministry_takes_nobody_away(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 5)))
    status, job = await send(town, file_of([person(9)]), complete=False)
    assert (status, job["plan"], job["guard_rails"]) == (201, {"create": 1}, [])


async def test_an_accent_that_somebody_wrote_with_care_is_kept(town: Town) -> None:
    await bring(town, file_of([person(1, prénom="ELOISE", nom="LEFEVRE")]))
    agent = await id_of(town, "000001")
    name = {"given_name": "Éloïse", "family_name": "Lefèvre"}
    assert (await town.call("PATCH", f"{AGENTS}/{agent}", by="ada", body=name, If_Match='"1"'))[0] == 200
    assert (await bring(town, file_of([person(1, prénom="ELOISE", nom="LEFEVRE")])))["done"] == {"unchanged": 1}
    assert (await aboard(town))["000001"].given_name == "Éloïse"


async def test_who_arrives_later_waits_who_has_left_is_not_opened_or_is_closed(town: Town) -> None:
    titles = [*TITLES, "date d'arrivée"]
    now = town.clock()
    tomorrow, yesterday = ((now + timedelta(days=days)).strftime("%d/%m/%Y") for days in (1, -1))
    await bring(town, file_of([person(1)]))
    lines = [
        [*person(1, **{"date de départ": yesterday}), ""], [*person(2), tomorrow], [*person(3, **{"date de départ": yesterday}), ""],
    ]  # fmt: skip
    job = await bring(town, file_of(lines, titles=titles))
    assert job["done"] == {"deactivate": 1, "later": 1, "unchanged": 1}
    assert await reasons(town, job) == {2: "departed", 3: "later", 4: "gone"}
    town.clock.advance(days=1)
    await town.add("ada2", "interieur", "ministry_administrator")
    town.tokens["ada"] = town.tokens["ada2"]
    again = await bring(town, file_of(lines, titles=titles))
    assert again["done"] == {"unchanged": 2, "create": 1}, "the departed stays closed, and the newcomer has come"


async def test_a_day_begins_at_the_ministry_s_midnight(town: Town) -> None:
    titles = [*TITLES, "date d'arrivée"]
    await bring(town, file_of([[*person(1), ""]], titles=titles))
    town.clock.now = (town.clock() + timedelta(days=1)).replace(hour=23, minute=30)
    night = town.clock()
    await town.add("ada2", "interieur", "ministry_administrator")
    town.tokens["ada"] = town.tokens["ada2"]
    yesterday, today = night.strftime("%d/%m/%Y"), (night + timedelta(days=1)).strftime("%d/%m/%Y")
    assert (night.astimezone(town.directory.handles[ZONE]).date() - night.date()).days == 1, "in Paris it is the next day"
    done = await bring(town, file_of([[*person(1, **{"date de départ": yesterday}), ""], [*person(2), today]], titles=titles))
    assert done["plan"] == done["done"] == {"deactivate": 1, "create": 1}


async def test_an_account_of_the_ministry_is_adopted_and_another_ministry_s_is_not_betrayed(town: Town) -> None:
    bob, eve = "bob@interieur.example.org", "eve@ecologie.example.org"
    await bring(town, file_of([person(1)]))
    lines = [person(1), person(2, courriel=bob), person(3, courriel=eve), person(4, courriel="agent1@interieur.example.org")]
    job = await bring(town, file_of(lines[:3]))
    assert job["done"] == {"unchanged": 1, "adopt": 1, "reject": 1} and await reasons(town, job) == {4: "email-taken"}
    assert (await aboard(town))["000002"].id == town.ids["bob"]
    [refused] = await lines_of(town, job, verdict="reject")
    assert refused["agent_id"] is None and "ecologie" not in str(refused) and "ministry" in refused["reason"]
    job = await bring(town, file_of([lines[1], lines[3]]))
    assert (await reasons(town, job))[3] == "email-other", "an e-mail moves by two files, not by one"


async def test_a_refused_line_is_no_reason_to_close_its_account(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 7)))
    lines = [
        person(1, courriel="nonsense"), person(2, matricule=""), person(3, matricule="", courriel=""), person(4), person(5),
    ]  # fmt: skip
    job = await bring(town, file_of(lines))
    assert job["done"] == {"reject": 3, "unchanged": 2, "deactivate": 1}
    assert [number for number, one in (await aboard(town)).items() if one.state == "left"] == ["000006"]


async def test_a_departure_in_9999_is_no_departure(town: Town) -> None:
    for said_end in ("31/12/9999", "9999-12-31", "01/01/9000"):
        lines = [person(1, **{"date de départ": said_end}), person(2)]
        done = await bring(town, file_of(lines))
        assert done["state"] == "done" and done["done"] in ({"create": 2}, {"unchanged": 2}), said_end
    assert [one.expires_at for one in (await aboard(town)).values()] == [None, None]


async def test_administrators_and_operators_send_files_and_nobody_else(town: Town) -> None:
    path = f"/api/directory/v1/ministries/{town.ministries['interieur']}/onboardings"
    for by, sent, listed in (("bob", 403, 403), ("eve", 404, 404), ("oli", 201, 200), ("ada", 201, 200)):
        assert (await send(town, SAMPLE.read_bytes(), by=by))[0] == sent, by
        assert (await town.call("GET", path, by=by))[0] == listed, by


async def test_another_ministry_s_file_is_answered_like_an_unknown_one(town: Town) -> None:
    _, job = await send(town, SAMPLE.read_bytes())
    for one in (job["id"], "019353a0-33f4-7e27-9b22-7c3d5e6f7081"):
        for method, path, body in (
            ("GET", "", None), ("GET", "/lines", None), ("GET", "/rejects", None), ("POST", "/confirm", {}), ("DELETE", "", None),
        ):  # fmt: skip
            status, problem, _ = await town.call(method, f"{JOBS}/{one}{path}", by="eve", body=body)
            assert status == 404 and problem["detail"] == f"There is no onboarding {one}."
            assert (await town.call(method, f"{JOBS}/{job['id']}{path}", by="bob", body=body))[0] == 403
    assert (await look(town, job))["state"] == "draft"


async def test_many_closed_accounts_must_be_named_by_their_number(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 19)))
    agent = await id_of(town, "000018")
    async with town.directory.database.transaction() as tx:
        await actions.open_session(tx, await queries_of.agent_for(tx, ROOT, agent), life=timedelta(hours=1), now=town.clock())
    _, job = await send(town, file_of(person(number) for number in range(1, 16)))
    assert job["plan"] == {"unchanged": 15, "deactivate": 3}
    assert job["guard_rails"] == ["it closes 3 of the ministry's 20 accounts"]
    for body in ({}, {"accept_deactivations": True}, {"accept_deactivations": True, "deactivations": 2}, {"deactivations": 3}):
        status, problem = await confirm(town, job, **body)
        assert status == 409 and "`deactivations: 3`" in problem["detail"], body
    assert (await confirm(town, job, accept_deactivations=True, deactivations=3))[0] == 202
    before = len(await said(town))
    await work(town)
    assert (await look(town, job))["done"] == {"unchanged": 15, "deactivate": 3}
    kinds = [kind for kind, _ in (await said(town))[before:]]
    assert kinds.count("directory.agent.left.v1") == 3 and kinds.count("directory.credential.revoked.v1") == 1


async def test_ends_that_come_near_are_named_like_closed_accounts(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 19)))
    far, near = ((town.clock() + timedelta(days=days)).strftime("%d/%m/%Y") for days in (32, 10))
    _, job = await send(town, file_of(person(number, **{"date de départ": far}) for number in range(1, 19)))
    assert (job["plan"], job["closings"], job["guard_rails"]) == ({"update": 18}, 0, [])
    raw = file_of([*(person(number, **{"date de départ": near}) for number in range(1, 18))])
    _, job = await send(town, raw)
    assert (job["plan"], job["closings"]) == ({"update": 17, "deactivate": 1}, 18)
    assert job["guard_rails"] == ["it closes 18 of the ministry's 20 accounts, 17 of them within 31 days"]
    for body in ({}, {"accept_deactivations": True, "deactivations": 1}):
        status, problem = await confirm(town, job, **body)
        assert status == 409 and "`deactivations: 18`" in problem["detail"], body
    assert (await confirm(town, job, accept_deactivations=True, deactivations=18))[0] == 202
    await work(town)
    _, again = await send(town, raw)
    assert (again["plan"], again["closings"]) == ({"unchanged": 17}, 0), "an end that is near already is no news"


async def test_a_file_does_not_close_whoever_sends_or_confirms_it(town: Town) -> None:
    yesterday = (town.clock() - timedelta(days=1)).strftime("%d/%m/%Y")
    await town.add("ava", "interieur", "ministry_administrator")
    both = {1: "ada@interieur.example.org", 2: "ava@interieur.example.org"}
    await bring(town, file_of([*(person(number, courriel=email) for number, email in both.items()), person(3)]))
    departed = {"date de départ": yesterday}
    _, job = await send(town, file_of([person(1, courriel=both[1], **departed), person(3)]))
    assert job["plan"] == {"reject": 1, "unchanged": 1, "deactivate": 1} and (await reasons(town, job))[2] == "self"
    assert (await confirm(town, job, by="ava", accept_deactivations=True, deactivations=1))[0] == 202
    await work(town)
    assert (await look(town, job))["done"] == {"reject": 1, "unchanged": 2}
    _, job = await send(town, file_of([person(3)]), by="ava")
    assert job["plan"] == {"unchanged": 2, "deactivate": 1}
    assert (await confirm(town, job, by="oli", accept_deactivations=True, deactivations=1))[0] == 202
    await work(town)
    assert {number: one.state for number, one in (await aboard(town)).items()} == {
        "000001": "left", "000002": "active", "000003": "active",
    }  # fmt: skip


async def test_a_few_closed_accounts_are_confirmed_without_more_and_a_file_of_half_the_size_is_not(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 31)))
    _, job = await send(town, file_of(person(number) for number in range(1, 28)))
    assert job["plan"]["deactivate"] == 3 and job["guard_rails"] == [], "three of thirty-two"
    _, job = await send(town, file_of([*(person(number) for number in range(1, 15))]))
    assert job["guard_rails"][1] == "the file has 14 people, and the last one had 30"


async def test_refused_lines_come_back_as_a_file_for_excel(town: Town) -> None:
    lines = [person(1), person(2, courriel="=cmd|' /C calc'!A0"), person(3, nom="Petit; dit\n@le Grand", courriel="")]
    _, job = await send(town, file_of(lines))
    headers = {"Authorization": f"Bearer {town.tokens['ada']}"}
    async with town.client.get(f"{JOBS}/{job['id']}/rejects", headers=headers) as answer:
        raw = await answer.read()
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8" and answer.headers["Cache-Control"] == "no-store"
        assert "attachment" in answer.headers["Content-Disposition"]
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(StringIO(raw.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert rows[0] == [*TITLES, "ligne", "motif"]
    assert [row[6] for row in rows[1:]] == ["3", "4"] and rows[1][3].startswith("'=cmd") and rows[2][1] == lines[2][1]
    assert rows[2][7] == "courriel est vide"
    async with town.client.get(f"{JOBS}/{job['id']}/rejects?language=en", headers=headers) as answer:
        assert "courriel is empty" in await answer.text()


async def test_lines_are_seen_by_pages_and_by_verdict_with_as_many_queries_whatever_their_number(town: Town) -> None:
    lines = [person(number, **({"courriel": "nonsense"} if number % 10 == 0 else {})) for number in range(1, 301)]
    _, job = await send(town, file_of(lines))
    seen, after = [], "0"
    while after is not None:
        _, page, _ = await town.call("GET", f"{JOBS}/{job['id']}/lines?limit=70&after={after}", by="ada")
        seen += [one["line"] for one in page["items"]]
        after = page["next"]
    assert seen == list(range(2, 302))
    assert [one["line"] for one in await lines_of(town, job, verdict="reject")] == list(range(11, 302, 10))
    numbers = []
    for limit in (1, 300):
        with queries(town.directory.database) as sent:
            assert len(await lines_of(town, job, limit=limit)) == limit
        numbers.append(len(sent))
    assert numbers[0] == numbers[1]


async def test_the_same_upload_twice_is_one_and_another_under_its_key_is_refused(town: Town) -> None:
    first = await send(town, SAMPLE.read_bytes(), key="k")
    assert await send(town, SAMPLE.read_bytes(), key="k") == first
    status, problem = await send(town, file_of([person(1)]), key="k")
    assert (status, problem["type"]) == (409, "urn:parvis:problem:key-reused")
    path = f"/api/directory/v1/ministries/{town.ministries['interieur']}/onboardings"
    assert [one["id"] for one in (await town.call("GET", path, by="ada"))[1]["items"]] == [first[1]["id"]]


async def test_a_ministry_has_one_file_at_work_and_a_few_drafts(town: Town) -> None:
    drafts = [(await send(town, file_of([person(number)])))[1] for number in range(policy.DRAFTS_MAX)]
    status, problem = await send(town, SAMPLE.read_bytes())
    assert status == 409 and "discard one" in problem["detail"]
    assert (await town.call("DELETE", f"{JOBS}/{drafts[0]['id']}", by="ada"))[0] == 204
    assert (await confirm(town, drafts[0]))[0] == 409
    assert (await confirm(town, drafts[1]))[0] == 202
    for status, problem in (await confirm(town, drafts[2]), await send(town, SAMPLE.read_bytes())):
        assert status == 409 and drafts[1]["id"] in problem["detail"]
    assert (await confirm(town, drafts[1]))[0] == 409, "confirmed twice"
    await work(town)
    assert (await town.call("DELETE", f"{JOBS}/{drafts[1]['id']}", by="ada"))[0] == 409


@pytest.mark.parametrize(
    ("raw", "media", "status", "word"),
    [
        (b"", "text/csv", 422, "empty"),
        (b"a;b\r\n1;2\r\n", "text/csv", 422, "matricule, nom, prénom, courriel"),
        (file_of([person(1)]), "application/json", 415, "text/csv"),
        (b"x" * (roster.FILE_BYTES_MAX + 1), "text/csv", 413, "16777216"),
        (file_of(person(n, direction=f"D{n}") for n in range(policy.DIRECTORATES_MAX + 1)), "text/csv", 422, "501 directorates"),
    ],
    ids=["empty", "columns", "media", "bytes", "directorates"],
)
async def test_what_cannot_be_taken_is_refused_whole_and_nothing_is_kept(
    town: Town, raw: bytes, media: str, status: int, word: str
) -> None:
    got, problem = await send(town, raw, media=media)
    assert got == status and word in problem["detail"], problem
    path = f"/api/directory/v1/ministries/{town.ministries['interieur']}/onboardings"
    assert (await town.call("GET", path, by="ada"))[1]["items"] == []


async def test_no_more_files_are_read_at_once_than_memory_holds(town: Town) -> None:
    desk = town.directory.handles[READING]
    desk.files = FILES_AT_ONCE_MAX
    status, problem = await send(town, SAMPLE.read_bytes())
    assert status == 503 and "in a moment" in problem["detail"]
    desk.files = 0
    assert (await send(town, SAMPLE.read_bytes()))[0] == 201 and desk.files == 0


async def test_what_was_done_is_in_the_audit(town: Town) -> None:
    import sqlalchemy as sa

    await bring(town, file_of([person(1), person(2)]))
    async with town.directory.database.read() as conn:
        rows = list(await conn.execute(sa.text("SELECT what, who FROM directory.audit ORDER BY seq")))
    mine = [(what, who) for what, who in rows if who == str(town.ids["ada"]) and not what.startswith("session")]
    assert [what for what, _ in mine] == [
        "onboarding.draft", "directorate.create", "directorate.create", "onboarding.confirm", "agent.create", "agent.create",
        "onboarding.complete",
    ]  # fmt: skip
