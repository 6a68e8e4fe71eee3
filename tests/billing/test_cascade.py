"""What holds of the arithmetic whatever is paid and used, against an oracle that is slow and exact."""

from dataclasses import replace
from datetime import date
from fractions import Fraction
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st
from parvis_billing.rules import PERIMETERS, UNKNOWN
from parvis_billing.rules.allocation import allot, share_of, spread
from parvis_billing.rules.cascade import AgentUse, Inputs, ItemMonth, cascade, pseudonym
from parvis_billing.rules.costs import AllocationKey, CostItem
from parvis_billing.rules.explanation import weight_of
from parvis_billing.rules.ledger import AgentRow, PostingRow, posting_rows, rows_of
from parvis_billing.rules.simulation import simulate

from . import oracle

SECRET = b"a year's secret of thirty-two by"
MINISTRIES = [UUID(int=number) for number in (11, 12, 13)]
SIRENS = {f"11000000{number}": ministry for number, ministry in enumerate(MINISTRIES)}
METERS = ("seats", "active", "files.byte_seconds", "mail.sent")
KEYS = {
    "seats": AllocationKey(id="seats", title="seats", meter="seats", why="w"),
    "active": AllocationKey(id="active", title="active", meter="active", why="w"),
    "storage": AllocationKey(id="storage", title="storage", meter="files.byte_seconds", why="w"),
    "mail": AllocationKey(id="mail", title="mail", meter="mail.sent", why="w"),
    "fixed": AllocationKey(id="fixed", title="fixed", shares={"110000000": 3, "110000002": 5, "999999999": 1}, why="w"),
}
weights = st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any)
totals = st.integers(-(10**14), 10**14)
quantities = st.integers(0, 10**24)


@st.composite
def uses(draw: st.DrawFn) -> tuple[AgentUse, ...]:
    places = draw(st.lists(st.tuples(st.sampled_from([*MINISTRIES, UNKNOWN]), st.integers(1, 12)), max_size=14, unique=True))
    found = []
    for ministry, number in places:
        guest = draw(st.booleans()) and draw(st.booleans())
        seat = 0 if guest or ministry == UNKNOWN else draw(st.integers(0, 1))
        use = {meter: draw(quantities) for meter in METERS[2:] if draw(st.booleans())}
        agent = UUID(int=number)
        active = draw(st.integers(0, seat))
        found.append(AgentUse(ministry, agent, pseudonym(SECRET, agent.bytes), "guest" if guest else "agent", seat, active, use))
    return tuple(found)


@st.composite
def item_months(draw: st.DrawFn) -> tuple[ItemMonth, ...]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        services = draw(st.dictionaries(st.sampled_from(["files", "messaging", "network"]), st.integers(1, 100), min_size=1))
        perimeters = draw(st.lists(st.sampled_from(PERIMETERS), min_size=1, unique=True))
        keys = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3))
        item = CostItem.model_validate({
            "id": f"item-{number}", "title": "t", "amount": "1.00", "tax_basis": "TTC", "starts": date(2026, 1, 1),
            "ends": date(2026, 12, 31), "services": services, "perimeters": perimeters, "key": keys[0], "admissible": keys[1:],
            "source": {"title": "t", "date": date(2026, 1, 1), "scope": "s"},
        })  # fmt: skip
        found.append(ItemMonth(item, 1, draw(st.integers(-(10**9), 10**11))))
    return tuple(found)


@st.composite
def all_inputs(draw: st.DrawFn) -> Inputs:
    shared = draw(st.dictionaries(st.sampled_from(MINISTRIES), st.dictionaries(st.sampled_from(METERS[2:]), quantities), max_size=3))
    return Inputs("2026-10", draw(item_months()), KEYS, draw(uses()), shared, SIRENS, SECRET)


@given(totals, weights)
@example(10, [6, 6, 2])
@example(11, [6, 6, 2])
def test_shares_sum_to_the_whole_within_the_quota_and_nothing_weighs_nothing(total: int, given: list[int]) -> None:
    shares, _ = allot(total, given)
    of = sum(given)
    assert sum(shares) == total
    for share, weight in zip(shares, given, strict=True):
        assert abs(Fraction(total * weight, of) - share) < 1
        assert weight or not share


@given(totals, weights)
def test_a_credit_is_shared_as_the_invoice_was(total: int, given: list[int]) -> None:
    assert allot(-total, given)[0] == [-share for share in allot(total, given)[0]]


@given(totals, weights)
def test_shares_are_those_of_the_oracle(total: int, given: list[int]) -> None:
    names = {f"{place:04}": weight for place, weight in enumerate(given)}
    assert allot(total, given)[0] == list(oracle.shares(total, names).values())


@given(totals, weights)
def test_one_share_is_found_again_without_the_others(total: int, given: list[int]) -> None:
    shares, cut = allot(total, given)
    for place, weight in enumerate(given):
        in_time = cut is not None and place <= cut.position
        assert share_of(total, weight, sum(given), cut and cut.remainder, in_time) == shares[place]


@given(st.integers(0, 10**9), weights)
def test_a_unit_more_takes_at_most_one_unit_from_anybody(total: int, given: list[int]) -> None:
    """Alabama: the largest remainder is not monotone, and this is all that it may do."""
    before, after = allot(total, given)[0], allot(total + 1, given)[0]
    assert all(new >= old - 1 for old, new in zip(before, after, strict=True))


@given(st.integers(-(10**12), 10**12), st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 2000))
def test_months_of_an_item_sum_to_its_amount(cents: int, starts: date, length_days: int) -> None:
    ends = date.fromordinal(starts.toordinal() + length_days)
    amount = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"
    item = CostItem.model_validate({
        "id": "i", "title": "t", "amount": amount, "tax_basis": "HT", "starts": starts, "ends": ends, "service": "files",
        "perimeters": ["suite"], "key": "seats", "source": {"title": "t", "date": starts, "scope": "s"},
    })  # fmt: skip
    assert item.cents == cents
    assert sum(item.cents_in(month) for month in item.months) == cents
    assert sum(item.days_in(month) for month in item.months) == length_days + 1


def test_what_is_written_off_lies_over_its_life_by_days() -> None:
    assert spread(3650, [31, 28, 31]) == [1257, 1136, 1257]


@settings(max_examples=150, deadline=None)
@given(all_inputs())
def test_the_cascade_is_the_oracle_s_and_children_sum_to_their_parents(inputs: Inputs) -> None:
    outcome = cascade(inputs)
    postings, micros = oracle.cascade(inputs)
    assert {(one.item_id, one.service, one.ministry_id): one.cents for one in outcome.postings if one.cents} == postings
    assert {place: list(columns) for place, columns in outcome.micros.items()} == micros
    for month in inputs.items:
        assert sum(one.cents for one in outcome.postings if one.item_id == month.item.id) == month.cents
    for ministry in {one.ministry_id for one in inputs.agents} - {UNKNOWN}:
        of = [one for one in outcome.postings if one.ministry_id == ministry and one.how["key"]]
        if all(one.how.get("seats") or not one.how.get("common") for one in of):
            for number, name in enumerate(PERIMETERS):
                cents = sum(one.cents for one in of if name in one.perimeters)
                assert sum(columns[number] for (place, _), columns in outcome.micros.items() if place == ministry) == cents * 10_000


@settings(max_examples=80, deadline=None)
@given(all_inputs(), st.randoms(use_true_random=False))
def test_no_order_of_what_comes_in_matters(inputs: Inputs, random: object) -> None:
    agents, items = list(inputs.agents), list(inputs.items)
    random.shuffle(agents), random.shuffle(items)  # type: ignore[attr-defined]
    shared = dict(reversed(list(inputs.shared.items())))
    other = replace(inputs, agents=tuple(agents), items=tuple(items), shared=shared)
    assert other.sha256 == inputs.sha256
    assert cascade(other).sha256 == cascade(inputs).sha256


@settings(max_examples=80, deadline=None)
@given(all_inputs())
def test_the_range_holds_the_figure_and_every_key_sums_to_the_item(inputs: Inputs) -> None:
    outcome = cascade(inputs)
    for month in inputs.items:
        mine = [one for one in outcome.postings if one.item_id == month.item.id]
        assert all(one.by_key[month.item.key] == one.cents for one in mine)
        for key in month.item.keys:
            assert sum(one.by_key[key] for one in mine) == month.cents


@settings(max_examples=80, deadline=None)
@given(all_inputs(), st.sampled_from(MINISTRIES))
def test_an_agent_without_use_changes_no_share_by_use(inputs: Inputs, ministry: UUID) -> None:
    items = tuple(one for one in inputs.items if one.item.key in ("storage", "mail"))
    idle = AgentUse(ministry, UUID(int=99), pseudonym(SECRET, UUID(int=99).bytes), "guest", 0, 0, {})
    before = cascade(replace(inputs, items=items))
    after = cascade(replace(inputs, items=items, agents=(*inputs.agents, idle)))
    assert [(one.place, one.cents) for one in before.postings] == [(one.place, one.cents) for one in after.postings]
    assert {place: one for place, one in after.micros.items() if place[1] != idle.agent_id} == dict(before.micros)
    assert not any(after.micros[ministry, idle.agent_id])


@settings(max_examples=60, deadline=None)
@given(all_inputs(), all_inputs(), all_inputs())
def test_what_was_booked_and_its_corrections_are_what_comes_out_now(first: Inputs, second: Inputs, third: Inputs) -> None:
    booked: list[PostingRow] = []
    agents: list[AgentRow] = []
    for place, inputs in enumerate((first, second, third)):
        outcome = cascade(inputs)
        rows = rows_of(inputs, outcome, f"2026-{place + 10}", booked, agents)
        booked = [*booked, *(one for one in rows if isinstance(one, PostingRow))]
        agents = [*agents, *(one for one in rows if isinstance(one, AgentRow))]
        sums: dict[object, int] = {}
        for one in booked:
            sums[one.place] = sums.get(one.place, 0) + one.cents
        now = {(one.item_id, one.service, one.ministry_id, " ".join(one.perimeters)): one.cents for one in outcome.postings}
        assert {name: cents for name, cents in sums.items() if cents} == {name: cents for name, cents in now.items() if cents}
        for number in range(len(PERIMETERS)):
            totals: dict[object, int] = {}
            for row in agents:
                totals[row.ministry_id, row.agent_id] = totals.get((row.ministry_id, row.agent_id), 0) + row.micros[number]
            said = {name: columns[number] for name, columns in outcome.micros.items() if columns[number]}
            assert {name: micro for name, micro in totals.items() if micro} == said


@settings(max_examples=60, deadline=None)
@given(all_inputs())
def test_a_second_run_of_the_same_corrects_nothing(inputs: Inputs) -> None:
    outcome = cascade(inputs)
    booked = posting_rows(outcome, inputs.month, "2026-10", ())
    assert not any(one.cents for one in posting_rows(outcome, inputs.month, "2026-11", booked))


@settings(max_examples=60, deadline=None)
@given(all_inputs(), st.sampled_from(MINISTRIES))
def test_to_simulate_no_change_is_what_is(inputs: Inputs, ministry: UUID) -> None:
    found = simulate(inputs, ministry, 0, {})
    outcome = cascade(inputs)
    for change in found.perimeters:
        mine = sum(one.cents for one in outcome.postings if one.ministry_id == ministry and change.perimeter in one.perimeters)
        assert change.now_cents == change.then_cents == 12 * mine and change.new_spending_cents == 0


def test_where_nobody_weighs_anything_seats_do_and_without_seats_it_stays_visible() -> None:
    item = CostItem.model_validate({
        "id": "i", "title": "t", "amount": "10.00", "tax_basis": "HT", "starts": "2026-10-01", "ends": "2026-10-31", "service": "files",
        "perimeters": ["suite"], "key": "storage", "source": {"title": "t", "date": "2026-10-01", "scope": "s"},
    })  # fmt: skip
    month = ItemMonth(item, 1, 1000)
    agent = AgentUse(MINISTRIES[0], UUID(int=1), "0a", "agent", 1, 0, {})
    [posting] = cascade(Inputs("2026-10", (month,), KEYS, (agent,), {}, {}, SECRET)).postings
    assert (posting.ministry_id, posting.cents, posting.how["key"]) == (MINISTRIES[0], 1000, "seats")
    [nobody] = cascade(Inputs("2026-10", (month,), KEYS, (), {}, {}, SECRET)).postings
    assert (nobody.ministry_id, nobody.cents) == (UNKNOWN, 1000)


def test_a_row_weighs_what_the_agent_used() -> None:
    row = AgentRow("2026-10", "2026-10", UUID(int=1), MINISTRIES[0], "agent", 1, 0, {"mail.sent": 7}, 0, 0, 0, "")
    assert [weight_of(row, meter) for meter in ("seats", "active", "mail.sent", "other", None)] == [1, 0, 7, 0, 0]
