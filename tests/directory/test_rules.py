"""Directory's rules, by themselves."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parvis_directory import rules
from parvis_directory.rules import Asker
from parvis_kit.problems import Conflict, Forbidden, Invalid

ROLES = ["agent", "ministry_administrator", "finance", "operator"]
A, B = UUID(int=1), UUID(int=2)


def slow_luhn(digits: str) -> bool:
    """As the standard tells it to a person with a pencil."""
    total, double = 0, False
    for digit in digits[::-1]:
        value = int(digit)
        if double:
            value = sum(int(one) for one in str(2 * value))
        total, double = total + value, not double
    return total % 10 == 0


@given(st.text("0123456789", min_size=1, max_size=14))
def test_the_check_digit_is_the_standard_s(digits: str) -> None:
    assert rules.luhn(digits) == slow_luhn(digits)


@given(st.from_regex(r"\A[0-9]{8}\Z"))
def test_of_ten_numbers_exactly_one_is_a_siren(start: str) -> None:
    assert sum(rules.luhn(start + last) for last in "0123456789") == 1


@given(st.sets(st.sampled_from(ROLES)), st.sampled_from([A, B]))
def test_whoever_may_change_may_see(roles: set[str], ministry: UUID) -> None:
    asker = Asker(UUID(int=9), A, frozenset(roles))
    assert not rules.may_change(asker, ministry) or rules.may_see(asker, ministry)
    assert rules.may_see(asker, ministry) == (ministry == A or "operator" in roles)


@given(st.sets(st.sampled_from(ROLES)), st.sets(st.sampled_from(ROLES)), st.sets(st.sampled_from(ROLES)))
def test_nobody_but_an_operator_gives_or_takes_what_reaches_beyond_a_ministry(own: set[str], before: set[str], after: set[str]) -> None:
    asker, reaches = Asker(UUID(int=9), A, frozenset(own)), {"finance", "operator"} & (before ^ after)
    if reaches and "operator" not in own:
        with pytest.raises(Forbidden):
            rules.check_roles(asker, before, after)
    else:
        rules.check_roles(asker, before, after)


@given(st.lists(st.sampled_from(["pending", "active", "suspended", "left"]), max_size=8))
def test_whoever_has_left_stays_away(states: list[rules.State]) -> None:
    now: rules.State = "pending"
    for state in states:
        try:
            rules.check_next_state(now, state)
        except Conflict:
            continue
        assert now != "left"
        now = state


@pytest.mark.parametrize("text", ["", "a", "@b.fr", "a@b", "a b@c.fr", "a@b..fr", "a@-b.fr", "é@b.fr", "a@b.fr\n", "x" * 250 + "@b.fr"])
def test_what_is_no_address_is_refused(text: str) -> None:
    if text.strip() == "a@b.fr":
        assert rules.folded_email(text) == "a@b.fr"
    else:
        with pytest.raises(Invalid):
            rules.folded_email(text)
