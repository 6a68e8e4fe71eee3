"""What was done in a ministry, read by those who answer for it; and who reads it is written down too."""

import pytest
from parvis_kit.audit.chain import chain_all
from parvis_kit.audit.verify import chains_of, verify

from .conftest import Town

AGENTS = "/api/directory/v1/agents"


async def read(town: Town, by: str, ministry: str = "interieur", **query: str) -> tuple[int, list[dict[str, str]], str | None]:
    await chain_all(town.directory.database)
    asked = "&".join(f"{name}={value}" for name, value in ({"reason": "yearly+review"} | query).items() if value)
    status, page, _ = await town.call("GET", f"/api/directory/v1/ministries/{town.ministries[ministry]}/audit?{asked}", by=by)
    return status, page.get("items", []), page.get("next")


async def test_an_administrator_reads_what_was_done_in_their_ministry(town: Town) -> None:
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("PATCH", path, by="ada", body={"state": "suspended"}, If_Match='"1"'))[0] == 200
    status, rows, _ = await read(town, "ada")
    assert status == 200
    newest = rows[0]
    assert (newest["what"], newest["who"], newest["about"]) == ("agent.suspended", str(town.ids["ada"]), str(town.ids["bob"]))
    assert not [row for row in rows if str(town.ids["eve"]) in row.values()]


async def test_to_have_read_is_a_row_with_its_reason(town: Town) -> None:
    await read(town, "ada")
    _, rows, _ = await read(town, "ada", reason="a+complaint+of+Bob")
    assert [(row["what"], row["who"], row["reason"]) for row in rows[:1]] == [("audit.read", str(town.ids["ada"]), "yearly review")]
    assert rows[0]["place"]


@pytest.mark.parametrize(
    ("by", "ministry", "reason", "status"),
    [
        ("bob", "interieur", "curious", 403),
        ("eve", "interieur", "curious", 404),
        ("ada", "interieur", "", 422),
        ("oli", "interieur", "duty", 200),
    ],
)
async def test_others_learn_nothing_and_a_reason_is_asked_for(town: Town, by: str, ministry: str, reason: str, status: int) -> None:
    assert (await read(town, by, ministry, reason=reason))[0] == status


async def test_a_page_after_a_place_that_there_cannot_be_is_refused(town: Town) -> None:
    assert (await read(town, "ada", after=str(2**63 - 1)))[0] == 200
    assert (await read(town, "ada", after=str(2**63)))[0] == 422


async def test_pages_follow_each_other_without_a_gap(town: Town) -> None:
    for number in range(7):
        body = {"email": f"n{number}@interieur.example.org", "given_name": "N", "family_name": "N"}
        assert (await town.call("POST", AGENTS, by="ada", body=body))[0] == 201
    seen: list[int] = []
    after = ""
    while True:
        status, rows, following = await read(town, "ada", limit="4", after=after)
        assert status == 200
        seen += [int(row["position"]) for row in rows]
        if following is None:
            break
        after = following
    assert seen == list(range(seen[0], 0, -1)) and len(seen) > 8


async def test_what_was_done_to_one_thing_can_be_asked_for(town: Town) -> None:
    _, rows, _ = await read(town, "ada", about=str(town.ids["bob"]))
    assert [row["what"] for row in rows] == ["agent.create"]


async def test_a_move_is_written_down_in_both_ministries(town: Town) -> None:
    body = {"ministry_id": str(town.ministries["ecologie"])}
    assert (await town.call("POST", f"{AGENTS}/{town.ids['bob']}/move", by="oli", body=body, If_Match='"1"'))[0] == 200
    for by, ministry in (("ada", "interieur"), ("eve", "ecologie")):
        _, rows, _ = await read(town, by, ministry, about=str(town.ids["bob"]))
        assert rows[0]["what"] == "agent.move"


async def test_all_chains_are_whole_after_all_this(town: Town) -> None:
    await read(town, "ada")
    database = town.directory.database
    await chain_all(database)
    chains = await chains_of(database)
    assert {str(town.ministries["interieur"]), str(town.ministries["ecologie"]), ""} == set(chains)
    assert [one.broken for one in [await verify(database, name) for name in chains]] == [None] * 3
