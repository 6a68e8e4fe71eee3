"""The ledger as FOCUS 1.2 charges (FinOps Open Cost and Usage Specification, Cost and Usage dataset), for tools that read it.

An invoice that lies over several months is a Purchase in the month where it begins, with what was paid and no effective cost, and
the Usage of every month, with its charge and nothing billed. What lies within a month, or is used at a price, is Usage with both. So
the billed costs sum to the invoices, and the effective costs to the charges that the report shares among ministries.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from parvis_billing.rules import UNKNOWN
from parvis_billing.rules.allocation import spread
from parvis_billing.rules.costs import CostItem
from parvis_billing.rules.ledger import ItemRow, Period, PostingRow, RunRow
from parvis_billing.rules.money import plain
from parvis_billing.rules.months import after
from parvis_billing.rules.report_texts import safe

PUBLISHER = "Parvis"
NOT_SAID = "not said"
"""FOCUS wants a name wherever an item need not have one."""
COLLABORATION = ("Business Applications", "Productivity and Collaboration")
CATEGORIES: Mapping[str, tuple[str, str]] = {
    "calendar": COLLABORATION,
    "directory": ("Identity", "Identity and Access Management"),
    "files": COLLABORATION,
    "messaging": COLLABORATION,
    "network": ("Networking", "Network Infrastructure"),
    "portal": COLLABORATION,
}
OTHER = ("Other", "Other (Other)")


@dataclass(frozen=True, slots=True)
class Charge:
    """A line of the export: of a cost item, a service and a ministry, in a month. Amounts in cents."""

    booked: str
    """The month in whose books it stands: the billing period."""
    concerns: str
    """The month that it concerns: the charge period."""
    item: CostItem
    revision: int
    service: str
    ministry_id: UUID | None
    """None of a purchase, which nobody's use has shared yet, and of what nobody's weight could take."""
    is_purchase: bool
    billed_cents: int
    effective_cents: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is exported."""

    postings: Sequence[PostingRow]
    """Booked in the months asked for."""
    runs: Sequence[RunRow]
    items: Sequence[ItemRow]
    """Both of all months: a correction says the difference from what was booked before."""
    kept: Mapping[tuple[str, int], CostItem]
    """Each revision of an item."""


def charges_of(ledger: Ledger, perimeter: str, within: Iterable[str]) -> list[Charge]:
    """Of one perimeter: they are never mixed. In the order of months, items, services and ministries."""
    months, before = set(within), _before(ledger)
    found = [one for one in _purchases(ledger, perimeter, before) if one.booked in months]
    mine = [one for one in ledger.postings if one.booked in months and perimeter in one.perimeters.split()]
    found += [_usage(one, ledger.kept, before) for one in mine if one.cents or one.computed_cents]
    said = [one for one in found if one.billed_cents or one.effective_cents]
    return sorted(said, key=lambda one: (one.booked, one.concerns, one.item.id, one.service, not one.is_purchase, str(one.ministry_id)))


Before = Mapping[tuple[str, str, str], ItemRow]
"""(booked, concerns, item) → what was booked of it last before that."""


def _before(ledger: Ledger) -> Before:
    """Of every run about a month, also where the item is no longer in it."""
    rows: dict[tuple[str, str], list[ItemRow]] = {}
    for row in ledger.items:
        rows.setdefault((row.concerns, row.booked), []).append(row)
    found: dict[tuple[str, str, str], ItemRow] = {}
    known: dict[str, list[ItemRow]] = {}
    for concerns, booked in sorted((one.concerns, one.booked) for one in ledger.runs):
        found |= {(booked, concerns, row.item_id): row for row in known.get(concerns, ())}
        known[concerns] = rows.get((concerns, booked), [])
    return found


def is_bought_ahead(item: CostItem) -> bool:
    """Paid at once for several months: an invoice for a year, or what is written off over its life."""
    return item.cents is not None and len(item.months) > 1


def _purchases(ledger: Ledger, perimeter: str, before: Before) -> Iterator[Charge]:
    now = {(one.booked, one.concerns, one.item_id): one for one in ledger.items}
    for place in {**before, **now}:
        booked, concerns, name = place
        amounts: dict[str, int] = {}
        for row, sign in ((now.get(place), 1), (before.get(place), -1)):
            item = ledger.kept[name, row.revision] if row else None
            if item and is_bought_ahead(item) and item.months[0] == concerns and perimeter in item.perimeters:
                services = sorted(item.services)
                shares = spread(item.cents or 0, [item.services[one] for one in services])
                for service, cents in zip(services, shares, strict=True):
                    amounts[service] = amounts.get(service, 0) + sign * cents
        newest = now.get(place) or before[place]
        for service, cents in amounts.items():
            yield Charge(booked, concerns, ledger.kept[name, newest.revision], newest.revision, service, None, True, cents, 0)


def _usage(posting: PostingRow, kept: Mapping[tuple[str, int], CostItem], before: Before) -> Charge:
    """Of a correction the differences; an item that is gone is told as it was."""
    old = before.get((posting.booked, posting.concerns, posting.item_id))
    revision = old.revision if old and not posting.revision else posting.revision
    item = kept[posting.item_id, revision]
    is_billed = not is_bought_ahead(item)
    was_billed = not is_bought_ahead(kept[posting.item_id, old.revision]) if old else is_billed
    billed = posting.computed_cents * is_billed - (posting.computed_cents - posting.cents) * was_billed
    ministry = None if posting.ministry_id == UNKNOWN else posting.ministry_id
    return Charge(posting.booked, posting.concerns, item, revision, posting.service, ministry, False, billed, posting.cents)


COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "PricingCategory",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory",
    "SubAccountId", "SubAccountName", "SubAccountType", "x_BillingPeriodState", "x_CostItemId", "x_CostItemRevision", "x_Account",
    "x_AllocationKey", "x_Perimeter", "x_TaxBasis",
)  # fmt: skip
"""In FOCUS's words; those of Parvis begin with x_, as the specification wants of columns that it does not name."""


def as_csv(charges: Sequence[Charge], perimeter: str, names: Mapping[UUID, tuple[str, str]], periods: Sequence[Period]) -> str:
    """Decimals with a point, moments in UTC, ends exclusive. `names`: ministry → SIREN and name."""
    states = {one.month: one.state for one in periods}
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for one in charges:
        siren, name = names.get(one.ministry_id, (str(one.ministry_id), str(one.ministry_id))) if one.ministry_id else ("", "")
        writer.writerow({
            **_periods(one), **_amounts(one), **{title: safe(text) for title, text in _what(one).items()},
            "SubAccountId": siren, "SubAccountName": safe(name),
            "SubAccountType": "Ministry" if siren else "", "x_BillingPeriodState": states[one.booked], "x_Perimeter": perimeter,
        })  # fmt: skip
    return written.getvalue()


def _periods(one: Charge) -> dict[str, str]:
    return {
        "BillingPeriodStart": f"{one.booked}-01T00:00:00Z",
        "BillingPeriodEnd": f"{after(one.booked)}-01T00:00:00Z",
        "ChargePeriodStart": f"{one.concerns}-01T00:00:00Z",
        "ChargePeriodEnd": f"{after(one.concerns)}-01T00:00:00Z",
        "ChargeClass": "" if one.booked == one.concerns else "Correction",
    }


def _amounts(one: Charge) -> dict[str, str]:
    """No discount is known of any item: what is listed and agreed on is what is paid, or written off."""
    worth = plain(one.billed_cents if one.is_purchase else one.effective_cents)
    return {
        "BilledCost": plain(one.billed_cents), "EffectiveCost": plain(one.effective_cents), "BillingCurrency": one.item.currency,
        "ContractedCost": worth, "ListCost": worth, "PricingCategory": "Standard", "PricingQuantity": "1.0", "PricingUnit": "Units",
    }  # fmt: skip


def _what(one: Charge) -> dict[str, str]:
    item, (category, subcategory) = one.item, CATEGORIES.get(one.service, OTHER)
    account, supplier = item.bop or PUBLISHER, item.supplier or NOT_SAID
    return {
        "BillingAccountId": account, "BillingAccountName": account, "BillingAccountType": "BOP" if item.bop else PUBLISHER,
        "ChargeCategory": "Purchase" if one.is_purchase else "Usage", "ChargeDescription": item.title,
        "ChargeFrequency": "One-Time" if one.is_purchase else "Recurring" if item.price is None else "Usage-Based",
        "InvoiceId": item.document or item.id, "InvoiceIssuerName": supplier, "ProviderName": supplier,
        "PublisherName": PUBLISHER, "ServiceCategory": category, "ServiceName": one.service, "ServiceSubcategory": subcategory,
        "x_CostItemId": item.id, "x_CostItemRevision": str(one.revision), "x_Account": item.account, "x_AllocationKey": item.key,
        "x_TaxBasis": item.tax_basis,
    }  # fmt: skip
