"""The largest remainder: a whole amount divided among children so that they sum to it, each within a unit of its exact share."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Who was the last to get one unit more: what it takes to know any one child's share again."""

    remainder: int
    position: int


def allot(total: int, weights: Sequence[int]) -> tuple[list[int], Cut | None]:
    """Shares in the order of the weights. Equal remainders are served in that order: callers order by pseudonym, never by name.

    Raises ValueError when nobody has a weight, or one is below zero.
    """
    of = sum(weights)
    if of <= 0 or min(weights) < 0:
        raise ValueError("weights are at least zero, and not all of them zero")
    if total < 0:
        shares, cut = allot(-total, weights)
        return [-share for share in shares], cut
    shares = [total * weight // of for weight in weights]
    left = total - sum(shares)
    if not left:
        return shares, None
    remainders = [total * weight % of for weight in weights]
    threshold = sorted(remainders, reverse=True)[left - 1]
    equals = left - sum(remainder > threshold for remainder in remainders)
    last = 0
    for position, remainder in enumerate(remainders):
        if remainder > threshold:
            shares[position] += 1
        elif remainder == threshold and equals:
            shares[position] += 1
            equals -= 1
            last = position
    return shares, Cut(threshold, last)


def share_of(total: int, weight: int, of: int, threshold: int | None, in_time: bool) -> int:
    """One child's share again, from what is written down of the whole: exact, without its siblings.

    `threshold`: the remainder of the last one who got a unit more; `in_time`: not behind that one in the order of the children.
    """
    if total < 0:
        return -share_of(-total, weight, of, threshold, in_time)
    share, remainder = divmod(total * weight, of)
    return share + (threshold is not None and (remainder > threshold or (remainder == threshold and in_time)))


def spread(total: int, parts: Sequence[int]) -> list[int]:
    """Over parts of time: the shares by days of an amount, or of what is written off over a life."""
    return allot(total, parts)[0]
