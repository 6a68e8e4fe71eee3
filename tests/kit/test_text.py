"""How names are folded, for sorting and for searches."""

import pytest
from parvis_kit.text import fold


@pytest.mark.parametrize(
    "name, kept", [("École", "ecole"), ("Œuvre", "œuvre"), ("Straße", "strasse"), ("İzmir", "izmir"), ("Łódź", "łodz"), ("ﬁn ²", "fin 2")]
)
def test_what_a_name_is_sorted_by_stays_what_it_was(name: str, kept: str) -> None:
    """It is kept beside each name, and a page goes on from the one made anew: were they two, a list would go round for ever."""
    assert fold(name) == kept
