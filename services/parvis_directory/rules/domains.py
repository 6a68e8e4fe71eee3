"""Which mail domains a ministry may claim, and what proves that one is its own."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from parvis_kit.problems import Invalid

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The TXT records of a name, none when there are none. Raises Unavailable when nobody answers."""

NAME = re.compile(r"^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")
FREE_MAIL = frozenset(
    "aol.com bbox.fr free.fr gmail.com gmx.com gmx.fr googlemail.com hotmail.com hotmail.fr icloud.com laposte.net "
    "live.com live.fr mail.com me.com msn.com neuf.fr numericable.fr orange.fr outlook.com outlook.fr proton.me "
    "protonmail.com sfr.fr tutanota.com wanadoo.fr yahoo.com yahoo.fr yandex.com ymail.com zoho.com".split()
)
"""Where anybody may have an address: whoever could prove such a domain would own its users' accounts."""
LABEL = "_parvis-challenge"
"""A name of its own: the domain's other TXT records are nobody's business, and an alias can be set for it alone."""
VALUE = "parvis-domain-verification="
DOMAINS_MAX = 50
LOOK_AGAIN = timedelta(seconds=10)
"""Between two looks that somebody asks for."""
RECHECK = timedelta(days=1)
MISSED_MAX = 7
"""A week of looks that found no proof: a zone that is moved loses a record for a day or two."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A mail domain that a ministry says is its own."""

    ministry_id: UUID
    name: str
    token: str
    asked_at: datetime
    claimed_at: datetime | None
    checked_at: datetime | None
    missed: int


@dataclass(frozen=True, slots=True)
class DomainSeen:
    """A domain, and the TXT record that proves it."""

    name: str
    is_claimed: bool
    record_name: str
    record_value: str
    asked_at: datetime
    claimed_at: datetime | None
    checked_at: datetime | None


def seen(one: Domain) -> DomainSeen:
    is_claimed = one.claimed_at is not None
    return DomainSeen(one.name, is_claimed, record_name(one.name), VALUE + one.token, one.asked_at, one.claimed_at, one.checked_at)


def folded_domain(text: str) -> str:
    """As domains are kept and compared. Raises Invalid."""
    name = text.strip().rstrip(".").lower()
    if not NAME.match(name):
        raise Invalid(f"{text!r} is no domain; one with accents is written as in the DNS (xn--…).")
    if name in FREE_MAIL:
        raise Invalid(f"At {name} anybody may have an address: it is no ministry's.")
    return name


def domain_of(email: str) -> str:
    return email.rpartition("@")[2]


def record_name(name: str) -> str:
    return f"{LABEL}.{name}"


def is_proven(one: Domain, texts: Sequence[str]) -> bool:
    return VALUE + one.token in texts
