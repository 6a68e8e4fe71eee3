"""The demonstration: three ministries and forty fictitious agents, who come aboard as agents do; done twice, it is done once."""

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID

from parvis_directory import actions, queries
from parvis_directory.rules import Asker, Ministry, Person, Role, may_sign_in
from parvis_kit import access
from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.serve import Addresses
from parvis_kit.service import Service

TOKEN_LIFE = timedelta(hours=12)
APP_PASSWORD_LIFE = timedelta(days=365)
SECRETS_FILE = "demo-secrets.json"
AT_ONCE = 2
"""Passwords hashed side by side: 19 MiB each."""


@dataclass(frozen=True, slots=True)
class DemoMinistry:
    siren: str
    name: str
    domain: str
    directorates: Mapping[str, str]
    """Name → SIRET, or nothing where it is not public."""


MINISTRIES = (
    DemoMinistry("110014016", "Ministère de l'Intérieur", "interieur.example.org",
        {"Direction de la transformation numérique": "11001401600015", "Direction générale des collectivités locales": ""}),
    DemoMinistry("110068012", "Ministère de la Transition écologique", "ecologie.example.org",
        {"Direction du numérique": "11006801200050", "Direction générale de l'énergie et du climat": ""}),
    DemoMinistry("110043015", "Ministère de l'Éducation nationale", "education.example.org",
        {"Direction du numérique pour l'éducation": "11004301500012", "Direction générale de l'enseignement scolaire": ""}),
)  # fmt: skip
"""Names and numbers of the State's company register; domains under example.org."""
PEOPLE = (
    "Claire Dubois", "Karim Benali", "Léa Moreau", "Thomas Lefèvre", "Awa Diallo", "Julien Rousseau", "Inès Garnier", "Mehdi Cherif",
    "Camille Petit", "Noémie Faure", "Hugo Lambert", "Fatou Sarr", "Antoine Mercier", "Sofia Marques", "Élodie Blanc", "Yann Le Goff",
    "Chloé Fontaine", "Ibrahim Koné", "Manon Chevalier", "Rémi Gauthier", "Maëlle Perrin", "David Nguyen", "Aurélie Robin", "Samir Haddad",
    "Pauline Masson", "Éric Giraud", "Lina Fernandez", "Victor Colin", "Jeanne Arnaud", "Paul Renard", "Zoé Caron", "Malik Traoré",
    "Margaux Picard", "Louis Marchand", "Agathe Dumas", "Nicolas Brun", "Salomé Leroux", "Bastien Joly", "Amina Bakari", "Guillaume Henry",
)  # fmt: skip
"""Fictitious, forty of them; the first three are administrators of a ministry each."""
MORE_ROLES: dict[int, list[Role]] = {
    0: ["ministry_administrator"],
    1: ["ministry_administrator"],
    2: ["ministry_administrator"],
    3: ["finance"],
    4: ["operator"],
    5: ["operator", "finance"],
}
GUEST, GUEST_LIFE = 39, timedelta(days=90)
ROOT = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))
"""Whoever has the server: makes what nobody who could ask for it is there to ask for."""


class Keeper:
    """Passwords and app passwords of this installation: random once, then the same; for its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}

    def of(self, email: str) -> dict[str, str]:
        return self.known.setdefault(email, {})


async def seed(services: Sequence[Service], addresses: Addresses, folder: Path) -> dict[str, Any]:
    """What demo.json holds."""
    from parvis_suite.assembly import write_private
    from parvis_suite.demo_agendas import Owner, seed_agendas
    from parvis_suite.demo_costs import seed_costs
    from parvis_suite.demo_files import Agent, seed_files
    from parvis_suite.demo_messages import Talker, seed_messages
    from parvis_suite.demo_passwords import CLIENTS, MESSAGES, Holder, seed_passwords

    [directory] = [service for service in services if service.name == "directory"]
    database, clock = directory.database, directory.clock
    keeper = Keeper(folder / SECRETS_FILE)
    ministries = [await ensure_ministry(database, ROOT, one, clock) for one in MINISTRIES]
    people = await ensure_people(directory, ministries, addresses.base_url)
    missing = [person for person in people if "password" not in keeper.of(person.email)]
    for person in missing:
        keeper.of(person.email)["password"] = secrets.token_urlsafe(12)
    await set_passwords(database, [person for person in missing if may_sign_in(person, clock())], keeper, clock)
    tokens = await make_tokens(directory, people, clock)
    holders = [Holder(token, keeper.of(one.email)) for one, token in zip(people, tokens, strict=True)]
    has_messaging = any(service.name == "messaging" for service in services)
    for wanted in (CLIENTS, MESSAGES) if has_messaging else (CLIENTS,):
        await seed_passwords(addresses.base_url, holders, wanted, clock(), clock() + APP_PASSWORD_LIFE)
    write_private(keeper.path, keeper.known)
    for billing in (service for service in services if service.name == "billing"):
        await seed_costs(billing, ministries, people)
    agents = [
        Agent(str(one.id), str(one.ministry_id), token, one.kind == "guest", "ministry_administrator" in one.roles)
        for one, token in zip(people, tokens, strict=True)
    ]
    has_files = any(service.name == "files" for service in services)
    spaces = await seed_files(addresses.base_url, agents) if has_files else {}
    owners = [Owner(str(one.id), one.email, keeper.of(one.email)["app_password"]) for one in people]
    has_calendar = any(service.name == "calendar" for service in services)
    agendas = await seed_agendas(addresses.base_url, owners, clock().date()) if has_calendar else {}
    accounts = {}
    if has_messaging:
        passwords = [one.kept[MESSAGES.word] for one in holders]
        talkers = [Talker(one.id, one.ministry, one.token, password) for one, password in zip(agents, passwords, strict=True)]
        accounts = await seed_messages(addresses.base_url, talkers)
    return {
        "base_url": addresses.base_url,
        "metrics_url": addresses.metrics_url,
        "ministries": [{"id": str(one.id), "siren": one.siren, "name": one.name} for one in ministries],
        "agents": [
            {
                "id": str(person.id),
                "name": f"{person.given_name} {person.family_name}",
                "email": person.email,
                "ministry": str(person.ministry_id),
                "roles": list(person.roles),
                "password": keeper.of(person.email)["password"],
                "app_password": keeper.of(person.email)["app_password"],
                "token": token,
                "personal_space": spaces.get(str(person.id)),
                "dav": agendas.get(str(person.id)),
                "matrix": accounts.get(str(person.id)),
            }
            for person, token in zip(people, tokens, strict=True)
        ],
    }


async def ensure_ministry(database: Database, root: Asker, one: DemoMinistry, clock: Clock) -> Ministry:
    async with database.read() as conn:
        known = (await queries.ministries_for(conn, root, None, 100)).items
    for ministry in known:
        if ministry.siren == one.siren:
            return ministry
    async with database.transaction() as tx:
        ministry = await actions.create_ministry(tx, root, one.siren, one.name, now=clock())
        for name, siret in one.directorates.items():
            await actions.create_directorate(tx, root, ministry.id, name, siret or None, now=clock())
    return ministry


async def ensure_people(directory: Service, ministries: Sequence[Ministry], base_url: str) -> list[Person]:
    """In the order of PEOPLE. The first operator is made on the server, as in any installation; the others come by the public doors."""
    from parvis_suite.demo_people import Newcomer, come_aboard

    database, clock = directory.database, directory.clock
    known = await people_of(database)
    newcomers = []
    places = cycle(zip(MINISTRIES, ministries, strict=True))
    for number, (name, (demo, ministry)) in enumerate(zip(PEOPLE, places, strict=False)):
        given, _, family = name.partition(" ")
        unit = list(demo.directorates)[number // 3 % len(demo.directorates)]
        leaves_on = clock().date() + GUEST_LIFE if number == GUEST else None
        roles, language = tuple(MORE_ROLES.get(number, ())), "en" if number % 10 == 9 else "fr"
        newcomers.append(
            Newcomer(f"D{number:04}", str(ministry.id), given, family, f"{plain(name)}@{demo.domain}", unit, language, roles, leaves_on)
        )
    if any(one.email not in known or not set(one.roles) <= set(known[one.email].roles) for one in newcomers):
        first = next(one for one in newcomers if "operator" in one.roles)
        if first.email not in known:
            made = actions.NewPerson(
                UUID(first.ministry_id), None, "agent", first.email, first.given_name, first.family_name, "fr", ["operator"], None
            )
            async with database.transaction() as tx:
                known[first.email] = await actions.create_agent(tx, ROOT, made, now=clock())
        [token] = await make_tokens(directory, [known[first.email]], clock)
        await come_aboard(base_url, token, newcomers)
        known = await people_of(database)
    return [known[one.email] for one in newcomers]


async def people_of(database: Database) -> dict[str, Person]:
    """By their addresses."""
    known: dict[str, Person] = {}
    after = None
    async with database.read() as conn:
        while True:
            page = await queries.agents_for(conn, ROOT, after, 100, None)
            known |= {person.email: person for person in page.items}
            if page.next is None:
                return known
            after = UUID(page.next)


def plain(name: str) -> str:
    """`Léa Le Goff` → `lea.le-goff`."""
    from parvis_kit.text import fold

    given, _, family = fold(name).partition(" ")
    return f"{given}.{family.replace(' ', '-')}"


async def set_passwords(database: Database, people: Sequence[Person], keeper: Keeper, clock: Clock) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def set_one(person: Person) -> None:
        async with room:
            hashed = await asyncio.to_thread(actions.HASHER.hash, keeper.of(person.email)["password"])
            async with database.transaction() as tx:
                await actions.set_hashed_password(tx, ROOT, person.id, hashed, now=clock())

    await asyncio.gather(*(set_one(person) for person in people))


async def make_tokens(directory: Service, people: Sequence[Person], clock: Clock) -> list[str]:
    """A session each, and a token of twelve hours: only the demonstration has such."""
    from parvis_directory.api.sign_in import DESK

    now, issuer = clock(), directory.handles[DESK].issuer
    async with directory.database.transaction() as tx:
        kid, pem = await queries.key_that_signs(tx, now)
        claims = []
        for person in people:
            session = await actions.open_session(tx, person, life=TOKEN_LIFE, now=now)
            claims.append(actions.claims_for(person, session.id, issuer=issuer, now=now, life=TOKEN_LIFE))
    key = access.private_key(pem, kid)
    return await asyncio.to_thread(lambda: [access.sign(one, key) for one in claims])
