"""What is paid and how it is to be shared: cost items, allocation keys, price versions, and public figures to compare with."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from parvis_billing.rules import PERIMETERS, SEATS, months
from parvis_billing.rules.allocation import spread
from parvis_billing.rules.money import MICRO_PER_CENT, cents_of, micro_of, rounded

Perimeter = Literal["hosting", "suite", "complete"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]
Meter = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,29}(\.[a-z][a-z_]{0,39})?$")]
Words = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
Siren = Annotated[str, Field(pattern=r"^\d{9}$")]
LIFE_MONTHS_MAX = 600
WEIGHT_MAX = 10**9
GB = 10**9
UNITS = {
    "unit": 1,
    "user-month": 1,
    "GB-hour": GB * 3600,
    "GB-month": GB * 2_629_800,
    "day": 1,
}
"""In the meter's own unit; a GB-month is 30.4375 days of a gigabyte."""
Taxes = Literal["TTC", "HT"]


class Read(BaseModel):
    """One thing of a file; an unknown field is a slip of the pen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Read):
    """Where a figure comes from, so that a reader can check it."""

    title: Words
    url: Annotated[str, Field(max_length=500, pattern=r"^(https?://[^\s]+)?$")] = ""
    date: date
    scope: Words
    """What the figure holds and what not."""


class CostItem(Read):
    """An invoice, or something that is used at a price: what it costs, when, for which services, and who pays how."""

    id: Name
    title: Words
    cents: int | None = Field(default=None, alias="amount")
    """Of the whole period; none for what is used at a price."""
    price: Name | None = None
    """The price by which its use is counted, month by month."""
    currency: Literal["EUR"] = "EUR"
    tax_basis: Taxes
    starts: date
    ends: date
    """Its last day. What is written off lies over its life as an invoice over its period: by days."""
    services: dict[Name, Annotated[int, Field(ge=1, le=WEIGHT_MAX)]] = Field(min_length=1, max_length=30)
    """The service that it is for, or several with their weights."""
    perimeters: tuple[Perimeter, ...] = Field(min_length=1)
    key: Name
    """The allocation key by which it is shared."""
    admissible: tuple[Name, ...] = ()
    """Keys by which one could share it as well: the range beside each figure."""
    source: Source
    supplier: Annotated[str, Field(max_length=200)] = ""
    document: Annotated[str, Field(max_length=200)] = ""
    """The invoice's or the contract's number."""
    account: Annotated[str, Field(max_length=80)] = ""
    bop: Annotated[str, Field(max_length=80)] = ""
    """Budget, account and document travel along: a recharge keeps the imputation of the first expense."""

    @model_validator(mode="before")
    @classmethod
    def _from_life(cls, value: Any) -> Any:
        """`months = 60` instead of `ends`; `service = "files"` instead of a table."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if (service := value.pop("service", None)) is not None:
            if "services" in value:
                raise ValueError("give `service` or `services`, not both")
            value["services"] = {service: 1}
        if (life := value.pop("months", None)) is not None:
            starts = value.get("starts")
            starts = date.fromisoformat(starts) if isinstance(starts, str) else starts
            if "ends" in value or not isinstance(starts, date) or not str(life).isdigit() or not 1 <= int(life) <= LIFE_MONTHS_MAX:
                raise ValueError(f"`months` (1 to {LIFE_MONTHS_MAX}) goes with `starts`, and instead of `ends`")
            value["ends"] = _last_day_after(starts, int(life))
        return value

    @field_validator("cents", mode="before")
    @classmethod
    def _as_cents(cls, value: Any) -> Any:
        if isinstance(value, bool | float):
            raise ValueError('write the amount as a text, "1234.56": a floating point number is no amount')
        return cents_of(str(value)) if value is not None and not isinstance(value, Cents) else value

    @field_validator("perimeters")
    @classmethod
    def _in_order(cls, value: tuple[Perimeter, ...]) -> tuple[Perimeter, ...]:
        return tuple(one for one in PERIMETERS if one in value)

    @field_validator("admissible")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.cents is None) == (self.price is None):
            raise ValueError("give `amount`, or the `price` by which it is used: one of them")
        if self.ends < self.starts:
            raise ValueError("it ends before it starts")
        first, last = months.month_of(self.starts), months.month_of(self.ends)
        if not months.FIRST <= first <= last <= months.LAST or sum(1 for _ in months.between(first, last)) > LIFE_MONTHS_MAX + 1:
            raise ValueError(f"its period lies within {months.FIRST} and {months.LAST}, and is at most {LIFE_MONTHS_MAX} months long")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Its own and the admissible ones."""
        return tuple(sorted({self.key, *self.admissible}))

    @property
    def months(self) -> list[str]:
        return list(months.between(months.month_of(self.starts), months.month_of(self.ends)))

    def days_in(self, month: str) -> int:
        first, last = max(self.starts, months.first_day(month)), min(self.ends, months.last_day(month))
        return max(0, (last - first).days + 1)

    def cents_in(self, month: str) -> int:
        """What falls into a month of a fixed amount, by days."""
        if self.cents is None or not self.days_in(month):
            return 0
        mine = self.months
        return spread(self.cents, [self.days_in(one) for one in mine])[mine.index(month)]


class Cents(int):
    """Already counted: read again from where it is kept."""


def _last_day_after(starts: date, life_months: int) -> date:
    month = months.month_of(starts)
    for _ in range(life_months):
        month = months.after(month)
    day = min(starts.day, months.days(month))
    return date.fromordinal(months.first_day(month).replace(day=day).toordinal() - 1)


class AllocationKey(Read):
    """By what an item is shared: the use that a meter counts, or fixed shares of ministries."""

    id: Name
    title: Words
    meter: Meter | None = None
    shares: dict[Siren, Annotated[int, Field(ge=0, le=WEIGHT_MAX)]] = {}
    why: Words
    """Keys are conventions: what speaks for this one."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if (self.meter is None) == (not self.shares):
            raise ValueError("give the `meter` that it counts by, or `shares` by SIREN: one of them")
        if self.id == SEATS and self.meter != SEATS:
            raise ValueError("`seats` is what everything is shared by that nobody has used: it counts seats")
        return self


class PriceVersion(Read):
    """A price while it is valid: from the first day of a month on."""

    id: Name
    title: Words
    meter: Meter
    unit: Literal["unit", "user-month", "GB-hour", "GB-month", "day"]
    micro_eur: int = Field(alias="price")
    currency: Literal["EUR"] = "EUR"
    tax_basis: Taxes
    valid_from: Annotated[str, Field(pattern=months.PATTERN)]
    valid_until: Annotated[str, Field(pattern=months.PATTERN)] | None = None
    """The first month in which it is no longer valid; open when nobody knows."""
    source: Source

    @field_validator("micro_eur", mode="before")
    @classmethod
    def _as_micro(cls, value: Any) -> Any:
        if isinstance(value, bool | float):
            raise ValueError('write the price as a text, "0.0146"')
        return value if isinstance(value, Cents) else micro_of(str(value))

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("`valid_until` is the first month without it, and comes after `valid_from`")
        return self

    def is_valid_in(self, month: str) -> bool:
        return self.valid_from <= month and (self.valid_until is None or month < self.valid_until)

    def overlaps(self, other: "PriceVersion") -> bool:
        ends, others = self.valid_until or "9999-12", other.valid_until or "9999-12"
        return self.id == other.id and self.valid_from < others and other.valid_from < ends

    def cents_for(self, quantity: int) -> int:
        return rounded(Fraction(quantity * self.micro_eur, UNITS[self.unit] * MICRO_PER_CENT))


class Benchmark(Read):
    """A public figure to stand beside ours, never in a sum with it."""

    id: Name
    title: Words
    price: Annotated[str, Field(pattern=r"^\d{1,12}([.]\d{1,2})?$")]
    per: Words
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    tax_basis: Literal["TTC", "HT", "unknown"]
    source: Source


Thing = CostItem | AllocationKey | PriceVersion | Benchmark


def content_of(thing: Thing) -> dict[str, Any]:
    """As it is kept: all of it but an item's amount, which has a column of its own."""
    content: dict[str, Any] = thing.model_dump(mode="json", by_alias=True)
    if isinstance(thing, CostItem):
        del content["amount"]
    return content


def item_from(content: Mapping[str, Any], cents: int | None) -> CostItem:
    return CostItem.model_validate({**content, "amount": None if cents is None else Cents(cents)})


def price_from(content: Mapping[str, Any]) -> PriceVersion:
    return PriceVersion.model_validate({**content, "price": Cents(content["price"])})


def digest_of(*parts: Any) -> str:
    """Of what a row says: what tells afterwards that it still says it."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":")).encode()).hexdigest()


def price_in(prices: Sequence[PriceVersion], name: str, month: str) -> PriceVersion | None:
    return next((one for one in prices if one.id == name and one.is_valid_in(month)), None)
