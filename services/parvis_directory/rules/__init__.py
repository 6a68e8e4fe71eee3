"""Who is who, who may do what, and what a name, a number or a state may be."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from parvis_kit.problems import Conflict, Forbidden, Invalid

Kind = Literal["agent", "guest"]
State = Literal["pending", "active", "suspended", "left"]
Role = Literal["agent", "ministry_administrator", "finance", "operator"]
Language = Literal["fr", "en"]

GIVEN_BY_ADMINISTRATORS: frozenset[str] = frozenset({"agent", "ministry_administrator"})
"""The others reach beyond one ministry: an operator gives them."""
SESSION_SCOPES = frozenset(
    {
        "billing:read",
        "billing:write",
        "calendar:read",
        "calendar:write",
        "directory:read",
        "directory:write",
        "files:read",
        "files:write",
        "messaging:read",
        "messaging:write",
    }
)
"""What an agent's own token may do; each service that comes adds its own."""
APP_PASSWORD_SCOPES = frozenset({"dav:calendars", "dav:files", "dav:files-read", "directory:read", "files:read", "files:write", "matrix"})
"""A client's password never changes the directory."""
APP_PASSWORD_LIFE_MAX = timedelta(days=366)
APP_PASSWORDS_MAX = 50
TEAM_MEMBERS_MAX = 5_000
"""A team's state is one fact, of at most 256 KiB."""
PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX = 12, 256
"""The least that the ANSSI asks for where guessing is slowed."""
EMAIL = re.compile(r"^[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")
NEXT_STATES: dict[str, frozenset[str]] = {
    "pending": frozenset({"active", "suspended", "left"}),
    "active": frozenset({"suspended", "left"}),
    "suspended": frozenset({"active", "left"}),
    "left": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as rights go."""

    id: UUID
    ministry_id: UUID
    roles: frozenset[str]
    at_keyboard: str = ""
    """Who it is that no account stands for: an operator of the server itself."""

    @property
    def is_operator(self) -> bool:
        return "operator" in self.roles

    @property
    def who(self) -> UUID | str:
        """As the audit names them."""
        return self.at_keyboard or self.id


@dataclass(slots=True)
class Ministry:
    id: UUID
    siren: str
    name: str
    app_passwords: bool
    revision: int
    closed_at: datetime | None = None
    """It has merged into another one."""
    succeeded_by: UUID | None = None


@dataclass(slots=True)
class Directorate:
    id: UUID
    ministry_id: UUID
    name: str
    siret: str | None
    succeeded_by: UUID | None = None
    """It goes on under this id, in another ministry."""


@dataclass(slots=True)
class Person:
    """An agent or a guest."""

    id: UUID
    ministry_id: UUID
    directorate_id: UUID | None
    kind: Kind
    state: State
    email: str
    given_name: str
    family_name: str
    language: Language
    roles: list[Role]
    expires_at: datetime | None
    revision: int


@dataclass(slots=True)
class Team:
    id: UUID
    ministry_id: UUID
    name: str
    revision: int


@dataclass(slots=True)
class Session:
    id: UUID
    agent_id: UUID
    csrf: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class KeptAppPassword:
    id: UUID
    agent_id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def check_siren(siren: str) -> None:
    """Nine digits, the last of which follows from the others (Luhn, ISO/IEC 7812-1). Raises Invalid."""
    if not re.fullmatch(r"\d{9}", siren) or not luhn(siren):
        raise Invalid(f"{siren} is no SIREN: nine digits, and the last one must agree with the others.")


def check_siret(siret: str) -> None:
    if not re.fullmatch(r"\d{14}", siret) or not luhn(siret):
        raise Invalid(f"{siret} is no SIRET: a SIREN and five digits, and the last one must agree with the others.")


def luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def folded_email(text: str) -> str:
    """As addresses are kept and compared. Raises Invalid."""
    email = text.strip().casefold()
    if not EMAIL.match(email) or len(email) > 254:
        raise Invalid(f"{text!r} is no e-mail address.")
    return email


def given_up_email(person: Person) -> str:
    """What stands in the place of an address that somebody else has now: readable, and nobody's (`.invalid`, RFC 2606)."""
    local = person.email.partition("@")[0]
    return f"{local[:27]}.{person.id}@left.invalid"


def may_see(asker: Asker, ministry_id: UUID) -> bool:
    """Their own ministry's people and teams; operators, everybody's."""
    return asker.ministry_id == ministry_id or asker.is_operator


def may_change(asker: Asker, ministry_id: UUID) -> bool:
    return asker.is_operator or ("ministry_administrator" in asker.roles and asker.ministry_id == ministry_id)


def check_may_change(asker: Asker, ministry_id: UUID) -> None:
    """For things that the asker may see. Raises Forbidden."""
    if not may_change(asker, ministry_id):
        raise Forbidden("Administrators of the ministry may do this: ask one of yours.")


def check_may_change_agent(asker: Asker, agent_id: UUID, ministry_id: UUID, what: Collection[str]) -> None:
    """One's own language is one's own matter, if nothing else is changed with it. Raises Forbidden."""
    if not (agent_id == asker.id and set(what) == {"language"}):
        check_may_change(asker, ministry_id)


def check_operator(asker: Asker) -> None:
    if not asker.is_operator:
        raise Forbidden("Operators of the suite may do this.")


def check_roles(asker: Asker, before: Collection[str], after: Collection[str]) -> None:
    """What reaches beyond a ministry is given and taken by operators alone. Raises Forbidden."""
    changed = set(before) ^ set(after)
    if changed - GIVEN_BY_ADMINISTRATORS and not asker.is_operator:
        raise Forbidden(f"Operators give and take {', '.join(sorted(changed - GIVEN_BY_ADMINISTRATORS))}.")


def check_expiry(kind: Kind, expires_at: datetime | None, now: datetime) -> None:
    """Guests end. Raises Invalid."""
    if kind == "guest" and expires_at is None:
        raise Invalid("A guest's account needs `expires_at`: a guest ends.")
    if expires_at is not None and expires_at <= now:
        raise Invalid("`expires_at` is in the past.")


def may_sign_in(person: Person, now: datetime) -> bool:
    return person.state not in ("suspended", "left") and (person.expires_at is None or now < person.expires_at)


def check_may_sign_in(person: Person, now: datetime) -> None:
    """Raises Conflict."""
    if not may_sign_in(person, now):
        raise Conflict(f"The account of {person.email} is {'over' if person.state == 'active' else person.state}: nobody signs in by it.")


def check_next_state(before: State, after: State) -> None:
    """pending → active → suspended → active … → left, which is the end. Raises Conflict."""
    if after not in NEXT_STATES[before]:
        raise Conflict(f"An account that is {before} cannot become {after}.")


def check_may_move(person: Person) -> None:
    """Raises Conflict."""
    if person.state == "left":
        raise Conflict("This agent has left: who has left is not moved.")


def check_password(password: str) -> None:
    """Raises Invalid. What cannot be printed cannot be relied on to be typed the same elsewhere."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX or not password.isprintable():
        raise Invalid(f"A password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} letters, digits, signs and plain spaces.")


def check_app_password(scopes: Collection[str], expires_at: datetime, now: datetime) -> None:
    """Raises Invalid."""
    if unknown := set(scopes) - APP_PASSWORD_SCOPES:
        raise Invalid(f"{', '.join(sorted(unknown))}: an app password may carry {', '.join(sorted(APP_PASSWORD_SCOPES))}.")
    if not scopes or not now < expires_at <= now + APP_PASSWORD_LIFE_MAX:
        raise Invalid("An app password needs a scope, and an end within a year.")
