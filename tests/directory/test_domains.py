"""A ministry proves that a mail domain is its own, by a record in the DNS; and its addresses are then nobody else's to give."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from parvis_directory import actions, nameserver
from parvis_directory.nameserver import NameServer
from parvis_directory.rules.domains import folded_domain
from parvis_directory.settings import Settings
from parvis_directory.store.domains import domains_of
from parvis_directory.sweeps import recheck_domains, run_transfers
from parvis_kit.problems import Invalid, Unavailable
from parvis_kit.settings import SettingsRefused

from .conftest import ROOT, Town
from .test_moves import PARIS, transfer
from .test_people import AGENTS, audited, said

MINE = "interieur.example.org"


class Zone:
    """What the DNS says in this town."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.is_away = False
        self.asked: list[str] = []

    async def texts(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        if self.is_away:
            raise Unavailable("Nobody answers.")
        return self.records.get(name, [])


@pytest.fixture
def zone(resolve: Zone) -> Zone:
    return resolve


@pytest.fixture
def resolve() -> Zone:
    return Zone()


def domains(town: Town, ministry: str, *more: str) -> str:
    return "/".join([f"/api/directory/v1/ministries/{town.ministries[ministry]}/domains", *more])


async def claim(town: Town, by: str = "ada", ministry: str = "interieur", name: str = MINE) -> tuple[int, Any]:
    return (await town.call("POST", domains(town, ministry), by=by, body={"name": name}))[:2]


async def look(town: Town, by: str = "ada", ministry: str = "interieur", name: str = MINE) -> tuple[int, Any]:
    return (await town.call("POST", domains(town, ministry, name, "verify"), by=by))[:2]


async def prove(town: Town, zone: Zone, by: str = "ada", ministry: str = "interieur", name: str = MINE) -> None:
    _, asked = await claim(town, by, ministry, name)
    zone.records.setdefault(asked["record_name"], ["v=spf1 -all"]).append(asked["record_value"])
    status, found = await look(town, by, ministry, name)
    assert status == 200 and found["is_claimed"], found


async def recheck(town: Town, zone: Zone) -> None:
    await recheck_domains(town.directory.database, town.clock, zone.texts)


async def is_claimed(town: Town, ministry: str = "interieur") -> bool:
    async with town.directory.database.read() as conn:
        return [one.claimed_at is not None for one in await domains_of(conn, town.ministries[ministry])] == [True]


async def test_a_domain_is_a_ministry_s_when_its_record_is_there(town: Town, zone: Zone) -> None:
    status, asked = await claim(town, name="Interieur.EXAMPLE.org.")
    assert status == 201 and not asked["is_claimed"] and asked["name"] == MINE
    assert asked["record_name"] == f"_parvis-challenge.{MINE}" and asked["record_value"].startswith("parvis-domain-verification=")
    assert await claim(town) == (201, asked), "said twice, it is said once"
    before = await said(town)
    status, problem = await look(town)
    assert status == 409 and asked["record_value"] in problem["detail"] and zone.asked == [asked["record_name"]]
    assert await said(town) == before
    zone.records[asked["record_name"]] = ["v=spf1 -all", asked["record_value"]]
    town.clock.advance(11)
    status, found = await look(town)
    assert status == 200 and found["is_claimed"]
    assert (await said(town))[-1] == "directory.domain.claimed.v1" and (await audited(town))[-1] == ("domain.prove", "done")
    [listed] = (await town.call("GET", domains(town, "interieur"), by="ada"))[1]
    assert listed["is_claimed"] and listed["name"] == MINE


async def test_another_ministry_s_record_proves_nothing(town: Town, zone: Zone) -> None:
    _, theirs = await claim(town, "eve", "ecologie")
    _, mine = await claim(town)
    assert theirs["record_value"] != mine["record_value"]
    zone.records[mine["record_name"]] = [theirs["record_value"]]
    assert (await look(town))[0] == 409
    assert (await look(town, "eve", "ecologie"))[0] == 200
    assert (await claim(town))[0] == 409


async def test_of_two_who_prove_it_at_the_same_moment_one_has_it(town: Town, zone: Zone) -> None:
    for by, ministry in (("ada", "interieur"), ("eve", "ecologie")):
        _, asked = await claim(town, by, ministry)
        zone.records.setdefault(asked["record_name"], []).append(asked["record_value"])
    answers = await asyncio.gather(look(town), look(town, "eve", "ecologie"))
    assert sorted(status for status, _ in answers) == [200, 409]
    assert (await said(town)).count("directory.domain.claimed.v1") == 1


async def test_an_address_of_a_proven_domain_is_its_ministry_s_to_give(town: Town, zone: Zone) -> None:
    new = {"email": f"Zoe.Caron@{MINE}", "given_name": "Zoé", "family_name": "Caron"}
    await claim(town)
    assert (await town.call("POST", AGENTS, by="eve", body=new | {"email": f"first@{MINE}"}))[0] == 201, "a claim alone proves nothing"
    town.clock.advance(11)
    await prove(town, zone)
    before = await said(town)
    for kind in ({}, {"kind": "guest", "expires_at": "2026-12-01T00:00:00Z"}):
        status, problem, _ = await town.call("POST", AGENTS, by="eve", body=new | kind)
        assert status == 409 and "another ministry's" in problem["detail"]
    assert await said(town) == before
    assert (await town.call("POST", AGENTS, by="ada", body=new))[0] == 201
    assert (await town.call("POST", AGENTS, by="eve", body=new | {"email": f"zoe@sub.{MINE}"}))[0] == 201, "another name, another domain"


async def test_a_look_is_not_asked_for_again_at_once(town: Town, zone: Zone) -> None:
    await claim(town)
    assert (await look(town))[0] == 409
    status, _, headers = await town.call("POST", domains(town, "interieur", MINE, "verify"), by="ada")
    assert status == 429 and headers["Retry-After"] == "10" and len(zone.asked) == 1


async def test_name_servers_that_do_not_answer_prove_nothing_either_way(town: Town, zone: Zone) -> None:
    await prove(town, zone)
    zone.is_away = True
    town.clock.advance(11)
    assert (await look(town))[0] == 503
    for _ in range(20):
        town.clock.advance(days=1)
        await recheck(town, zone)
    assert await is_claimed(town)


async def test_a_proof_that_is_gone_for_a_week_is_no_proof(town: Town, zone: Zone) -> None:
    await prove(town, zone)
    kept = dict(zone.records)
    for days, records in ((6, {}), (1, kept), (6, {})):
        zone.records = records
        for _ in range(days):
            town.clock.advance(days=1)
            await recheck(town, zone)
            await recheck(town, zone)
    assert await is_claimed(town) and "directory.domain.released.v1" not in await said(town)
    assert len(zone.asked) == 1 + 6 + 1 + 6, "once a day"
    town.clock.advance(days=1)
    await recheck(town, zone)
    assert not await is_claimed(town)
    assert (await said(town))[-1] == "directory.domain.released.v1" and (await audited(town))[-1] == ("domain.release", "done")


async def test_a_domain_that_breaks_the_look_keeps_no_other_one_from_it(town: Town, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one whose turn is first, and the other one whose proof is gone."""
    await prove(town, zone, name="a-first.example.org")
    town.clock.advance(11)
    await prove(town, zone)
    answers, zone.records = dict(zone.records), {}
    texts = zone.texts

    async def strange(name: str) -> Sequence[str]:
        if "a-first" in name:
            raise RuntimeError("an answer that nobody expected")
        return await texts(name)

    monkeypatch.setattr(zone, "texts", strange)
    for _ in range(7):
        town.clock.advance(days=1)
        await recheck(town, zone)
    async with town.directory.database.read() as conn:
        claimed = {one.name: one.claimed_at is not None for one in await domains_of(conn, town.ministries["interieur"])}
    assert claimed == {"a-first.example.org": True, MINE: False}
    monkeypatch.setattr(zone, "texts", texts)
    zone.records, asked = answers, len(zone.asked)
    await recheck(town, zone)
    assert len(zone.asked) == asked + 1, "the first one is looked at again"


async def test_a_domain_can_be_given_up_and_is_free_again(town: Town, zone: Zone) -> None:
    await prove(town, zone)
    assert (await town.call("DELETE", domains(town, "interieur", MINE), by="ada"))[0] == 204
    assert (await said(town))[-1] == "directory.domain.released.v1"
    assert (await town.call("DELETE", domains(town, "interieur", MINE), by="ada"))[0] == 404
    await prove(town, zone, "eve", "ecologie")


async def test_a_ministry_that_merges_takes_its_domains_along(town: Town, zone: Zone) -> None:
    await prove(town, zone)
    await claim(town, name="never-proven.example.org")
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    await run_transfers(town.directory.database, town.clock, PARIS)
    [kept] = (await town.call("GET", domains(town, "ecologie"), by="eve"))[1]
    assert kept["name"] == MINE and kept["is_claimed"]
    assert (await town.call("GET", domains(town, "interieur"), by="oli"))[1] == []
    town.clock.advance(days=1)
    await recheck(town, zone)
    assert await is_claimed(town, "ecologie"), "the record that is there goes on proving it"


@pytest.mark.parametrize(("by", "status"), [("bob", 403), ("eve", 404), ("oli", 201), ("ada", 201)])
async def test_administrators_claim_for_their_own_ministry(town: Town, by: str, status: int) -> None:
    assert (await claim(town, by))[0] == status
    expected = {201: 200}.get(status, status)
    assert (await town.call("GET", domains(town, "interieur"), by=by))[0] == expected


async def test_a_ministry_has_at_most_fifty_domains(town: Town) -> None:
    async with town.directory.database.transaction() as tx:
        for number in range(50):
            await actions.claim_domain(tx, ROOT, town.ministries["interieur"], f"d{number}.example.org", now=town.clock())
    assert (await claim(town))[0] == 409


NO_DOMAINS = ["gmail.com", "Orange.FR", "localhost", "a..b.org", "-a.org", "a b.org", "é.example.org", "a.org/x", "1.2.3.4"]


@pytest.mark.parametrize("name", [*NO_DOMAINS, "x" * 64 + ".org"])
def test_what_is_no_ministry_s_domain_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        folded_domain(name)


# the real resolver, before a name server of our own


class OwnServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        name = question.question[0].name.to_text()
        if name == "there.example.org.":
            long = f'"{"x" * 200}" ' * 4
            texts = ('"parvis-domain-" "verification=abc"', '"v=spf1 -all"', long)
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *texts))
        elif name == "broken.example.org.":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name != "empty.example.org.":
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if not self.silent:
            self.transport.sendto(answer.to_wire(), address)


@pytest.fixture
async def own_server() -> AsyncIterator[tuple[OwnServer, NameServer]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(OwnServer, local_addr=("127.0.0.1", 0))
    yield protocol, NameServer(["127.0.0.1"], transport.get_extra_info("sockname")[1])
    transport.close()


async def test_the_records_are_read_whole_and_what_is_too_long_is_left_out(own_server: tuple[OwnServer, NameServer]) -> None:
    _, server = own_server
    assert sorted(await server.texts("there.example.org")) == ["parvis-domain-verification=abc", "v=spf1 -all"]
    assert await server.texts("empty.example.org") == await server.texts("nowhere.example.org") == []


async def test_a_server_that_fails_or_is_silent_is_told_from_one_that_says_no(
    own_server: tuple[OwnServer, NameServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, server = own_server
    monkeypatch.setattr(nameserver, "ANSWER_SECONDS_MAX", 0.2)
    with pytest.raises(Unavailable):
        await server.texts("broken.example.org")
    protocol.silent = True
    began = datetime.now().astimezone()
    with pytest.raises(Unavailable):
        await server.texts("there.example.org")
    assert (datetime.now().astimezone() - began).total_seconds() < 5


async def test_a_machine_that_knows_no_name_server_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", read)
    with pytest.raises(Unavailable):
        await NameServer().texts("there.example.org")


def test_a_name_server_is_named_by_its_address() -> None:
    with pytest.raises(SettingsRefused, match="PARVIS_DIRECTORY_NAME_SERVERS"):
        Settings.read({"PARVIS_DIRECTORY_NAME_SERVERS": '["dns.example.org"]'})
    assert Settings.read({"PARVIS_DIRECTORY_NAME_SERVERS": '["192.0.2.53"]'}).name_servers == ("192.0.2.53",)
