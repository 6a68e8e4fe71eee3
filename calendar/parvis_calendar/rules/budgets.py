"""How many bytes of objects are in memory, or worked on, for one question: counted before they are loaded."""

from collections.abc import Sequence

ANSWER_BYTES_MAX = 32 * 2**20
"""Of octets in one answer of CalDAV: what a phone still reads, and what a hundred at once still leave of a server's memory."""
WRITTEN_BYTES_MAX = 4 * 2**20
"""Of objects written out otherwise than they are kept, in one answer: a year of 4,000 occurrences of a kilobyte."""
PAGE_BYTES_MAX = 2 * 2**20
"""Of objects read for one answer in JSON, each of them once: 100 ms. A thousand events as clients write them are 1 MB."""
LOOKED_BYTES_MAX = 4 * 2**20
"""Of objects looked at together."""
BEYOND_BYTES_MAX = 4 * 2**20
"""Of what recurs, expanded for one question beyond the horizon."""

HOME_BYTES_MAX = 2**30
"""Of all objects in one home: twenty years of ten thousand a year, with pictures in some."""
GROWTH_UNASKED_BYTES_MAX = 16 * 1024
"""What adds no more than this is not asked whether there is room: nearly no event does, and the sum costs a millisecond or two."""


def within(sizes: Sequence[int], room: int) -> int:
    """How many of them, from the beginning, have room; one in any case."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > room and number:
            return number
    return len(sizes)
