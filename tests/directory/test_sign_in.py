"""Signing in, tokens and app passwords: what each is good for, how long, and what is never told."""

import json
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession, TCPConnector
from parvis_directory import actions
from parvis_directory.api.sign_in import DESK
from parvis_directory.app import ACCOUNT_RATE, ADDRESS_RATE

from .conftest import ROOT, Town, basic
from .test_people import audited, said

AGENTS = "/api/directory/v1/agents"
APP_PASSWORDS = "/api/directory/v1/app-passwords"
PASSWORD = "correct horse battery staple"


async def sign_in(town: Town, name: str = "bob", password: str = PASSWORD, **headers: str) -> tuple[int, Any]:
    async with town.directory.database.transaction() as tx:
        await actions.set_hashed_password(tx, ROOT, town.ids["bob"], actions.HASHER.hash(PASSWORD), now=town.clock())
    body = {"email": f"{name}@interieur.example.org", "password": password}
    status, answer, _ = await town.call("POST", "/auth/sign-in", body=body, **headers)
    return status, answer


def cookie(town: Town) -> str:
    return town.client.session.cookie_jar.filter_cookies(town.client.make_url("/auth/token"))["parvis_session"].value


async def test_a_session_gives_tokens_and_ends(town: Town) -> None:
    status, session = await sign_in(town)
    assert status == 200 and session["agent_id"] == str(town.ids["bob"])
    csrf = {"X-CSRF-Token": session["csrf_token"]}
    status, token, _ = await town.call("POST", "/auth/token", **csrf)
    assert status == 200 and (token["token_type"], token["expires_in"]) == ("Bearer", 600)
    town.tokens["session"] = token["access_token"]
    assert (await town.call("GET", AGENTS, by="session"))[0] == 200
    assert (await town.call("POST", "/auth/sign-out", **csrf))[0] == 204
    assert (await town.call("GET", AGENTS, by="session"))[0] == 401, "its tokens end with it"
    assert (await town.call("POST", "/auth/token", **csrf))[0] == 401


async def test_signing_out_and_a_refused_account_are_in_the_audit(town: Town) -> None:
    _, session = await sign_in(town)
    before = len(await audited(town))
    assert (await town.call("POST", "/auth/sign-out", **{"X-CSRF-Token": session["csrf_token"]}))[0] == 204
    assert (await audited(town))[before:] == [("session.end", "done")]
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("PATCH", path, by="ada", body={"state": "suspended"}, If_Match='"1"'))[0] == 200
    mine = {"email": "bob@interieur.example.org", "password": PASSWORD}
    status, problem, _ = await town.call("POST", "/auth/sign-in", body=mine)
    assert status == 401 and "suspended" in problem["detail"]
    assert (await audited(town))[-1] == ("session.create", "refused")


async def test_a_cookie_alone_is_no_answer_to_who_is_asking(town: Town) -> None:
    await sign_in(town)
    assert cookie(town)
    status, problem, headers = await town.call("GET", AGENTS)
    assert status == 401 and "Bearer" in headers["WWW-Authenticate"] and "a cookie is for /auth alone" in problem["detail"]


async def test_a_token_is_not_given_to_other_sites_nor_without_the_session_s_own(town: Town) -> None:
    _, session = await sign_in(town)
    csrf = session["csrf_token"]
    assert (await town.call("POST", "/auth/token"))[0] == 422
    assert (await town.call("POST", "/auth/token", **{"X-CSRF-Token": "another"}))[0] == 403
    assert (await town.call("POST", "/auth/token", **{"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await town.call("POST", "/auth/token", **{"X-CSRF-Token": csrf, "Origin": "https://evil.example"}))[0] == 403
    assert (await town.call("POST", "/auth/token", **{"X-CSRF-Token": csrf, "Origin": "http://parvis.test"}))[0] == 200


async def test_a_session_ends_by_rest_and_by_age(town: Town) -> None:
    _, session = await sign_in(town)
    csrf = {"X-CSRF-Token": session["csrf_token"]}
    for _ in range(6):
        town.clock.advance(minutes=119)
        assert (await town.call("POST", "/auth/token", **csrf))[0] == 200, "each exchange is a touch"
    town.clock.advance(minutes=10)
    assert (await town.call("POST", "/auth/token", **csrf))[0] == 401, "twelve hours are over"
    _, session = await sign_in(town)
    town.clock.advance(minutes=121)
    assert (await town.call("POST", "/auth/token", **{"X-CSRF-Token": session["csrf_token"]}))[0] == 401


async def test_a_wrong_password_and_an_unknown_account_are_told_the_same(town: Town) -> None:
    wrong = await sign_in(town, password="wrong")
    unknown = await sign_in(town, name="nobody")
    assert wrong[0] == unknown[0] == 401 and wrong[1]["detail"] == unknown[1]["detail"]


async def test_guessing_is_slowed_and_the_right_password_is_not_counted(town: Town) -> None:
    for _ in range(ACCOUNT_RATE.burst + 2):
        assert (await sign_in(town))[0] == 200
    for _ in range(ACCOUNT_RATE.burst):
        assert (await sign_in(town, password="wrong"))[0] == 401
    status, problem = await sign_in(town)
    assert status == 429 and "later" in problem["detail"]


async def test_a_ministry_behind_one_address_signs_in_and_its_clients_go_on(town: Town) -> None:
    town.directory.handles[DESK].by_address.monotonic = lambda: 0.0  # nothing is made good by waiting
    client = await app_password(town, "bob")
    for number in range(ADDRESS_RATE.burst + 5):
        assert (await sign_in(town))[0] == 200, number
    assert (await town.call("GET", AGENTS, **client))[0] == 200, "app passwords are counted by the same address"
    for number in range(ADDRESS_RATE.burst):
        await sign_in(town, name=f"guess{number}")
    assert (await sign_in(town, name="ada"))[0] == 429, "who guesses is slowed by address all the same"


async def test_guessing_at_app_passwords_is_slowed_and_the_right_one_is_not_counted(town: Town) -> None:
    guard = town.directory.authenticate.guard  # type: ignore[union-attr]
    guard.by_address.monotonic = guard.by_account.monotonic = lambda: 0.0  # nothing is made good by waiting
    clients = {name: await app_password(town, name) for name in ("ada", "bob")}

    async def ask(name: str, address: str = "127.0.0.1", **headers: str) -> tuple[int, str | None]:
        async with ClientSession(connector=TCPConnector(local_addr=(address, 0))) as elsewhere:
            async with elsewhere.get(town.client.make_url(AGENTS), headers=headers or clients[name]) as answer:
                return answer.status, answer.headers.get("Retry-After")

    def guess(name: str) -> dict[str, str]:
        return {"Authorization": basic(f"{name}@interieur.example.org", "a-guess")}

    for _ in range(ADDRESS_RATE.burst + 2):
        assert await ask("bob") == (200, None)
    for _ in range(ACCOUNT_RATE.burst):
        assert (await ask("bob", **guess("bob")))[0] == 401
    assert await ask("bob", **guess("bob")) == await ask("bob") == (429, "60")
    assert await ask("ada") == (200, None), "another account goes on"
    for number in range(ADDRESS_RATE.burst - ACCOUNT_RATE.burst):
        assert (await ask("", **guess(f"agent{number}")))[0] == 401
    assert await ask("ada", **guess("ada")) == await ask("ada") == (429, "2")
    assert await ask("ada", "127.0.0.2") == (200, None), "the right one from elsewhere comes in"


async def test_a_token_counts_for_its_time_and_for_this_installation(town: Town) -> None:
    good = town.tokens["bob"]
    head, body, signature = good.split(".")

    def encoded(value: Any) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for forged in (
        f"{encoded({'alg': 'none', 'typ': 'at+jwt'})}.{body}.",
        f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'x'})}.{body}.{signature}",
        f"{encoded({'alg': 'RS256', 'typ': 'at+jwt', 'kid': 'unknown'})}.{body}.{signature}",
        f"{encoded({'alg': 'RS256', 'typ': 'at+jwt', 'pad': 'x' * 900})}.{body}.{signature}",
        f"{head}.{encoded({'sub': str(town.ids['ada'])})}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        "garbage",
        "a.b.c",
        "é.é.é",
        "x" * 5000,
    ):
        town.tokens["forged"] = forged
        try:
            status, problem, _ = await town.call("GET", AGENTS, by="forged")
        except (UnicodeEncodeError, ValueError):  # the client itself will not send it
            continue
        assert status in (400, 401), (forged[:60], status, problem)
    town.clock.advance(hours=12, minutes=1)
    assert (await town.call("GET", AGENTS, by="bob"))[0] == 401


async def test_an_app_password_is_shown_once_and_does_no_more_than_it_says(town: Town) -> None:
    until = (town.clock() + timedelta(days=30)).isoformat()
    body = {"name": "Téléphone", "scopes": ["directory:read"], "expires_at": until}
    status, made, _ = await town.call("POST", APP_PASSWORDS, by="bob", body=body, Idempotency_Key="k")
    assert status == 201 and made["app_password"].startswith("parvis_")
    again = (await town.call("POST", APP_PASSWORDS, by="bob", body=body, Idempotency_Key="k"))[1]
    assert again["id"] == made["id"] and again["app_password"] == ""
    listed = (await town.call("GET", APP_PASSWORDS, by="bob"))[1]
    assert [one["name"] for one in listed] == ["Téléphone"] and "digest" not in listed[0] and "app_password" not in listed[0]
    mine = {"Authorization": basic("bob@interieur.example.org", made["app_password"])}
    assert (await town.call("GET", AGENTS, **mine))[0] == 200
    refused, _, headers = await town.call("POST", AGENTS, body={"email": "x@y.fr", "given_name": "x", "family_name": "y"}, **mine)
    assert refused == 403 and "insufficient_scope" in headers["WWW-Authenticate"]
    for other in (basic("ada@interieur.example.org", made["app_password"]), basic("bob@interieur.example.org", made["app_password"] + "x")):
        assert (await town.call("GET", AGENTS, Authorization=other))[0] == 401
    assert (await town.call("DELETE", f"{APP_PASSWORDS}/{made['id']}", by="ada"))[0] == 404, "another's is like none"
    assert (await town.call("DELETE", f"{APP_PASSWORDS}/{made['id']}", by="bob"))[0] == 204
    assert (await town.call("GET", AGENTS, **mine))[0] == 401


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": ["directory:write"]}, {"scopes": []}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "2030-01-01T00:00:00Z"}],
)
async def test_an_app_password_has_a_scope_and_an_end(town: Town, wrong: Any) -> None:
    body = {"name": "x", "scopes": ["directory:read"], "expires_at": (town.clock() + timedelta(days=1)).isoformat()} | wrong
    assert (await town.call("POST", APP_PASSWORDS, by="bob", body=body))[0] == 422


async def test_a_ministry_may_do_without_app_passwords(town: Town) -> None:
    path = f"/api/directory/v1/ministries/{town.ministries['interieur']}"
    assert (await town.call("PATCH", path, by="ada", body={"app_passwords": False}, If_Match='"1"'))[0] == 200
    body = {"name": "x", "scopes": ["directory:read"], "expires_at": (town.clock() + timedelta(days=1)).isoformat()}
    assert (await town.call("POST", APP_PASSWORDS, by="bob", body=body))[0] == 403


async def app_password(town: Town, name: str, ministry: str = "interieur") -> dict[str, str]:
    """What a client of theirs sends."""
    body = {"name": "x", "scopes": ["directory:read"], "expires_at": (town.clock() + timedelta(days=1)).isoformat()}
    made = (await town.call("POST", APP_PASSWORDS, by=name, body=body))[1]
    return {"Authorization": basic(f"{name}@{ministry}.example.org", made["app_password"])}


async def test_a_ministry_that_forbids_app_passwords_ends_those_that_there_are(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from parvis_directory.actions import app_passwords

    monkeypatch.setattr(app_passwords, "PIECE", 2)
    mine = [await app_password(town, "bob") for _ in range(5)]
    elsewhere = await app_password(town, "eve", "ecologie")
    before = len(await said(town))

    async def good() -> int:
        return sum([(await town.call("GET", AGENTS, **one))[0] == 200 for one in mine])

    assert await good() == 5
    path = f"/api/directory/v1/ministries/{town.ministries['interieur']}"
    assert (await town.call("PATCH", path, by="ada", body={"app_passwords": False}, If_Match='"1"'))[0] == 200
    assert await good() == 3, "a piece ends with the decision"
    [sweep] = [one for one in town.directory.sweeps if one.name == "app-passwords"]
    await sweep.action()
    assert await good() == 0 and (await town.call("GET", AGENTS, **elsewhere))[0] == 200
    kinds = (await said(town))[before:]
    assert kinds.count("directory.credential.revoked.v1") == kinds.count("directory.credential.state.v1") == 5
    assert (await audited(town)).count(("app_password.revoke", "done")) == 5


async def test_who_moves_to_a_ministry_without_app_passwords_has_none_there(town: Town) -> None:
    mine, path = await app_password(town, "bob"), f"/api/directory/v1/ministries/{town.ministries['ecologie']}"
    assert (await town.call("PATCH", path, by="eve", body={"app_passwords": False}, If_Match='"1"'))[0] == 200
    assert (await town.call("GET", AGENTS, **mine))[0] == 200
    body = {"ministry_id": str(town.ministries["ecologie"])}
    assert (await town.call("POST", f"{AGENTS}/{town.ids['bob']}/move", by="oli", body=body, If_Match='"1"'))[0] == 200
    assert (await town.call("GET", AGENTS, **mine))[0] == 401
    assert (await town.call("GET", APP_PASSWORDS, by="bob"))[1] == []


async def test_a_guest_s_time_ends(town: Town) -> None:
    await town.add("gus", "interieur", kind="guest")
    assert (await town.call("GET", f"{AGENTS}/{town.ids['gus']}", by="gus"))[0] == 200
    town.clock.advance(days=1, seconds=1)
    await town.add("ada2", "interieur", "ministry_administrator")
    [sweep] = [one for one in town.directory.sweeps if one.name == "guests"]
    await sweep.action()
    assert (await town.call("GET", f"{AGENTS}/{town.ids['gus']}", by="ada2"))[1]["state"] == "left"
    assert (await town.call("GET", AGENTS, by="gus"))[0] == 401


async def test_a_guest_who_cannot_be_ended_keeps_no_other_one_here_and_is_tried_again(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("gil", "gus", "guy"):
        await town.add(name, "interieur", kind="guest")
    town.clock.advance(days=1, seconds=1)
    await town.add("ada2", "interieur", "ministry_administrator")
    [sweep] = [one for one in town.directory.sweeps if one.name == "guests"]
    end, bad = actions.end_guest, min(town.ids[name] for name in ("gil", "gus", "guy"))

    async def fail_for_one(tx: Any, agent_id: UUID, *, now: datetime) -> None:
        if agent_id == bad:
            raise RuntimeError("a row that nobody expected")
        await end(tx, agent_id, now=now)

    async def left() -> list[UUID]:
        found = [await town.call("GET", f"{AGENTS}/{town.ids[name]}", by="ada2") for name in ("gil", "gus", "guy")]
        return [UUID(one["id"]) for _, one, _ in found if one["state"] == "left"]

    monkeypatch.setattr(actions, "end_guest", fail_for_one)
    await sweep.action()
    assert len(await left()) == 2 and bad not in await left()
    [said_of] = [one for one in caplog.records if "is left for the next time" in one.message]
    assert said_of.message.startswith(f"directory.guests: {bad}") and said_of.exc_info
    monkeypatch.setattr(actions, "end_guest", end)
    await sweep.action()
    assert bad in await left()


async def test_the_next_key_is_known_before_it_signs_and_the_last_one_counts_on(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from parvis_kit import access

    assert len((await town.call("GET", "/auth/keys"))[1]["keys"]) == 1
    town.clock.advance(days=89, hours=1)
    await town.add("bea", "interieur")
    monkeypatch.setattr(
        access, "make_key", lambda real=access.RSAKey: real.generate_key(2048, parameters={"use": "sig", "alg": "RS256"}, auto_kid=True)
    )
    [sweep] = [one for one in town.directory.sweeps if one.name == "signing-keys"]
    await sweep.action()
    await sweep.action()
    keys = (await town.call("GET", "/auth/keys"))[1]["keys"]
    assert len(keys) == 2 and all("d" not in key for key in keys), "one new key, and no private half"
    assert (await town.call("GET", AGENTS, by="bea"))[0] == 200
    town.clock.advance(hours=23)
    await town.add("cid", "interieur")
    assert town.tokens["cid"].split(".")[0] != town.tokens["bea"].split(".")[0], "the new key signs"
    assert (await town.call("GET", AGENTS, by="cid"))[0] == 200
