"""Agents, teams and ministries through directory's doors: who may, what is refused, and what is said."""

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa
from parvis_kit.events.ledger import tables_of
from parvis_kit.testing.databases import queries

from .conftest import Town

AGENTS = "/api/directory/v1/agents"
NEW = {"email": "Zoé.Caron@interieur.example.org".replace("é", "e"), "given_name": "Zoé", "family_name": "Caron"}


async def said(town: Town) -> list[str]:
    """The types of all facts of directory, in order."""
    log, outbox = tables_of("directory")["log"].c, tables_of("directory")["outbox"].c
    carried, waiting = sa.select(log.type, sa.literal(0), log.seq), sa.select(outbox.type, sa.literal(1), outbox.id)
    async with town.directory.database.read() as conn:  # in one statement: a relay may be at work
        return [row[0] for row in await conn.execute(sa.union_all(carried, waiting).order_by(sa.text("2, 3")))]


async def audited(town: Town) -> list[tuple[str, str]]:
    async with town.directory.database.read() as conn:
        rows = await conn.execute(sa.select(sa.text("what, decision FROM directory.audit ORDER BY seq")))
        return [(row[0], row[1]) for row in rows]


async def test_an_administrator_opens_an_account_and_everybody_hears_of_it(town: Town) -> None:
    before = len(await said(town))
    status, agent, headers = await town.call("POST", AGENTS, by="ada", body=NEW)
    assert status == 201 and agent["state"] == "active" and agent["email"] == "zoe.caron@interieur.example.org"
    assert headers["Location"] == f"{AGENTS}/{agent['id']}" and headers["ETag"] == '"1"'
    assert (await said(town))[before:] == ["directory.agent.joined.v1", "directory.agent.state.v1"]
    assert (await audited(town))[-1] == ("agent.create", "done")
    assert (await town.call("GET", headers["Location"], by="bob"))[1] == agent


@pytest.mark.parametrize(
    ("by", "changes", "status", "code"),
    [
        ("bob", {}, 403, "forbidden"),
        ("eve", {"ministry_id": "interieur"}, 403, "forbidden"),
        ("ada", {"email": "bob@interieur.example.org"}, 409, "conflict"),
        ("ada", {"email": "no-address-at-all"}, 422, "invalid"),
        ("ada", {"kind": "guest"}, 422, "invalid"),
        ("ada", {"expires_at": "9999-12-31T23:59:59-05:00"}, 422, "invalid"),
        ("ada", {"expires_at": "0001-01-01T00:00:00+05:00"}, 422, "invalid"),
        ("ada", {"roles": ["operator"]}, 403, "forbidden"),
        ("ada", {"directorate_id": "019353a0-33f4-7e27-9b22-7c3d5e6f7081"}, 422, "invalid"),
        ("ada", {"given_name": "a\u0000b"}, 422, "invalid"),
        ("ada", {"admin": True}, 422, "invalid"),
    ],
)
async def test_what_is_refused_says_nothing_and_leaves_nothing(town: Town, by: str, changes: Any, status: int, code: str) -> None:
    before = await said(town)
    if "ministry_id" in changes:
        changes = {"ministry_id": str(town.ministries[changes["ministry_id"]])}
    got, problem, _ = await town.call("POST", AGENTS, by=by, body=NEW | changes)
    assert (got, problem["type"]) == (status, f"urn:parvis:problem:{code}"), problem
    assert problem["detail"] if "detail" in problem else problem["errors"]
    assert await said(town) == before


async def test_another_ministry_s_agent_is_answered_like_an_unknown_one(town: Town) -> None:
    def without_id(problem: Any) -> str:
        return json.dumps({name: value for name, value in problem.items() if name != "instance"}).replace(named, "ID")

    answers = []
    for named in (str(town.ids["bob"]), "019353a0-33f4-7e27-9b22-7c3d5e6f7081"):
        status, problem, _ = await town.call("GET", f"{AGENTS}/{named}", by="eve")
        patched, refusal, _ = await town.call("PATCH", f"{AGENTS}/{named}", by="eve", body={"language": "en"}, If_Match='"1"')
        answers.append((status, without_id(problem), patched, without_id(refusal)))
    assert answers[0] == answers[1] and answers[0][0] == answers[0][2] == 404


async def test_an_agent_chooses_the_language_that_they_are_spoken_to_in_and_nothing_else(town: Town) -> None:
    path = f"{AGENTS}/{town.ids['bob']}"
    for body in ({"language": "en", "roles": ["operator"]}, {"family_name": "X"}, {"state": "suspended", "language": "en"}, {}):
        assert (await town.call("PATCH", path, by="bob", body=body, If_Match='"1"'))[0] == 403, body
    status, person, headers = await town.call("PATCH", path, by="bob", body={"language": "en"}, If_Match='"1"')
    assert (status, person["language"], headers["ETag"]) == (200, "en", '"2"') and (await said(town))[-1] == "directory.agent.state.v1"
    assert (await town.call("PATCH", f"{AGENTS}/{town.ids['ada']}", by="bob", body={"language": "en"}, If_Match='"1"'))[0] == 403


async def test_a_list_shows_one_s_own_ministry_by_pages(town: Town) -> None:
    for number in range(5):
        assert (await town.call("POST", AGENTS, by="ada", body=NEW | {"email": f"n{number}@interieur.example.org"}))[0] == 201
    seen, after = [], ""
    while True:
        status, page, _ = await town.call("GET", f"{AGENTS}?limit=3{after}", by="bob")
        assert status == 200
        seen += [one["email"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == ["ada@interieur.example.org", "bob@interieur.example.org", *(f"n{n}@interieur.example.org" for n in range(5))]
    everybody = (await town.call("GET", f"{AGENTS}?limit=100", by="oli"))[1]["items"]
    assert len(everybody) == 9


async def test_a_change_needs_the_version_that_was_read_and_one_of_twenty_wins(town: Town) -> None:
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("PATCH", path, by="ada", body={"language": "en"}))[0] == 428
    changes = [town.call("PATCH", path, by="ada", body={"family_name": f"N{n}"}, If_Match='"1"') for n in range(20)]
    statuses = sorted(status for status, _, _ in await asyncio.gather(*changes))
    assert statuses == [200] + [412] * 19
    assert (await town.call("GET", path, by="ada"))[2]["ETag"] == '"2"'


async def test_twenty_twins_make_one_agent_and_get_one_answer(town: Town) -> None:
    twins = [town.call("POST", AGENTS, by="ada", body=NEW, Idempotency_Key="the-same") for _ in range(20)]
    answers = await asyncio.gather(*twins)
    assert {status for status, _, _ in answers} == {201} and len({answer["id"] for _, answer, _ in answers}) == 1
    status, problem, _ = await town.call("POST", AGENTS, by="ada", body=NEW | {"language": "en"}, Idempotency_Key="the-same")
    assert (status, problem["type"]) == (409, "urn:parvis:problem:key-reused")


async def test_suspended_an_agent_is_refused_at_once_and_reinstated_let_in_by_a_new_session(town: Town) -> None:
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("PATCH", path, by="ada", body={"state": "suspended"}, If_Match='"1"'))[1]["state"] == "suspended"
    status, problem, headers = await town.call("GET", path, by="bob")
    assert status == 401 and "WWW-Authenticate" in headers and problem["detail"]
    assert [kind for kind in await said(town) if "suspended" in kind or "revoked" in kind] == [
        "directory.agent.suspended.v1",
        "directory.credential.revoked.v1",
    ]
    assert (await town.call("PATCH", path, by="ada", body={"state": "active"}, If_Match='"2"'))[0] == 200
    assert (await town.call("GET", path, by="bob"))[0] == 401, "the old session stays ended"
    assert (await town.call("PATCH", path, by="ada", body={"state": "left"}, If_Match='"3"'))[0] == 200
    assert (await town.call("PATCH", path, by="ada", body={"state": "active"}, If_Match='"4"'))[0] == 409


async def test_a_guest_whose_end_has_come_is_suspended_at_once(town: Town) -> None:
    await town.add("gus", "interieur", kind="guest")
    town.clock.advance(days=1, seconds=1)
    await town.add("ada2", "interieur", "ministry_administrator")
    path = f"{AGENTS}/{town.ids['gus']}"
    assert (await town.call("PATCH", path, by="ada2", body={"state": "suspended"}, If_Match='"1"'))[0] == 200
    past = {"expires_at": town.clock().isoformat()}
    assert (await town.call("PATCH", path, by="ada2", body=past, If_Match='"2"'))[0] == 422, "a new end is still one to come"


async def test_an_operator_moves_an_agent_who_keeps_their_identity(town: Town) -> None:
    path, body = f"{AGENTS}/{town.ids['bob']}", {"ministry_id": str(town.ministries["ecologie"])}
    assert (await town.call("POST", f"{path}/move", by="ada", body=body, If_Match='"1"'))[0] == 403
    status, moved, _ = await town.call("POST", f"{path}/move", by="oli", body=body, If_Match='"1"')
    assert status == 200 and moved["ministry_id"] == body["ministry_id"] and moved["id"] == str(town.ids["bob"])
    assert (await town.call("GET", path, by="eve"))[0] == 200 and (await town.call("GET", path, by="ada"))[0] == 404
    assert "directory.agent.moved.v1" in await said(town)


async def test_a_team_has_members_of_several_ministries(town: Town) -> None:
    members = sorted(str(town.ids[name]) for name in ("bob", "eve"))
    status, team, headers = await town.call("POST", "/api/directory/v1/teams", by="ada", body={"name": "Crise", "members": members})
    assert status == 201
    path = headers["Location"]
    assert (await town.call("GET", path, by="bob"))[1]["members"] == members
    assert (await town.call("GET", path, by="eve"))[0] == 404
    written = {"name": "Crise 2", "members": members[:1]}
    assert (await town.call("PUT", path, by="ada", body=written, If_Match='"1"'))[0] == 200
    assert (await town.call("GET", path, by="bob"))[1]["members"] == members[:1]
    assert (await said(town)).count("directory.team.state.v1") == 2


async def test_ministries_are_for_operators_and_their_numbers_are_checked(town: Town) -> None:
    path = "/api/directory/v1/ministries"
    body = {"siren": "110043015", "name": "Éducation nationale"}
    assert (await town.call("POST", path, by="ada", body=body))[0] == 403
    assert (await town.call("POST", path, by="oli", body=body | {"siren": "110043016"}))[0] == 422
    status, made, _ = await town.call("POST", path, by="oli", body=body)
    assert status == 201
    assert (await town.call("POST", path, by="oli", body=body))[0] == 409
    unit = {"name": "Direction du numérique", "siret": "11004301500012"}
    assert (await town.call("POST", f"{path}/{made['id']}/directorates", by="oli", body=unit))[0] == 201
    assert [one["name"] for one in (await town.call("GET", f"{path}/{made['id']}/directorates", by="oli"))[1]] == [unit["name"]]
    assert (await town.call("GET", f"{path}/{made['id']}", by="ada"))[0] == 404
    assert [one["siren"] for one in (await town.call("GET", path, by="ada"))[1]["items"]] == ["110014016"]


async def test_a_request_asks_few_questions(town: Town) -> None:
    """On PostgreSQL the act's audit, its answer under the key and its facts go in the journey of COMMIT; SQLite takes no journeys."""
    path = f"{AGENTS}/{town.ids['bob']}"
    await town.call("GET", path, by="ada")
    create = 7 if town.directory.database.is_sqlite else 4
    for method, target, body, most in (("GET", path, None, 2), ("GET", f"{AGENTS}?limit=100", None, 2), ("POST", AGENTS, NEW, create)):
        with queries(town.directory.database) as asked:
            assert (await town.call(method, target, by="ada", body=body))[0] in (200, 201)
        assert len(asked) <= most, asked


async def found(town: Town, words: str, by: str = "bob") -> list[str]:
    status, page, _ = await town.call("GET", f"{AGENTS}?find={words}", by=by)
    assert status == 200, page
    return [one["email"].partition("@")[0] for one in page["items"]]


async def test_colleagues_are_found_by_the_beginnings_of_their_names_without_accents(town: Town) -> None:
    for email, given, family in (("z.c", "Zoé", "Caron-Lebœuf"), ("y.c", "Yves", "Caron"), ("caro", "Anne", "Zola")):
        body = {"email": f"{email}@interieur.example.org", "given_name": given, "family_name": family}
        assert (await town.call("POST", AGENTS, by="ada", body=body))[0] == 201
    begin = await found(town, "CARO")
    assert begin[0] == "caro" and sorted(begin) == ["caro", "y.c", "z.c"], "addresses first"
    assert await found(town, "leboeuf") == await found(town, "caron zo") == await found(town, "zoe CARON") == ["z.c"]
    assert sorted(await found(town, "martin", by="eve")) == ["eve", "oli"], "in one's own ministry"
    assert await found(town, "aron") == await found(town, "caron zola") == await found(town, "%") == []


async def test_who_is_called_otherwise_or_has_left_is_found_so_or_not_at_all(town: Town) -> None:
    status, agent, _ = await town.call("POST", AGENTS, by="ada", body=NEW)
    assert status == 201 and await found(town, "caron") == ["zoe.caron"]
    path = f"{AGENTS}/{agent['id']}"
    _, agent, _ = await town.call("PATCH", path, by="ada", body={"family_name": "Okafor"}, If_Match='"1"')
    assert await found(town, "okafor") == ["zoe.caron"] and await found(town, "zoé okafor") == ["zoe.caron"]
    async with town.directory.database.read() as conn:
        words = "SELECT word FROM directory.agent_word w JOIN directory.agent a ON a.id = w.agent_id WHERE a.email LIKE 'zoe%'"
        assert sorted((await conn.execute(sa.text(words))).scalars()) == ["okafor", "zoe"], "the name of before is gone"
    there = {"ministry_id": str(town.ministries["ecologie"])}
    status, agent, _ = await town.call("POST", f"{path}/move", by="oli", body=there, If_Match=f'"{agent["revision"]}"')
    assert status == 200 and await found(town, "okafor") == [] and await found(town, "okafor", by="eve") == ["zoe.caron"]
    left = await town.call("PATCH", path, by="eve", body={"state": "left"}, If_Match=f'"{agent["revision"]}"')
    assert left[0] == 200 and await found(town, "okafor", by="eve") == await found(town, "okafor", by="oli") == []
