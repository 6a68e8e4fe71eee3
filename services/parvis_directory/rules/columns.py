"""The columns of a ministry's file, by the names that people give them in French and in English."""

import re
from collections.abc import Mapping, Sequence

from parvis_kit.problems import Invalid
from parvis_kit.text import fold

COLUMNS_MAX = 100
"""A file of human resources has thirty."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "external_id": ("matricule", "identifiant", "identifiant externe", "id", "numéro agent", "n° agent", "external id", "employee number"),
    "family_name": ("nom", "nom de famille", "nom d'usage", "family name", "last name", "surname"),
    "given_name": ("prénom", "prénoms", "prénom usuel", "given name", "first name"),
    "email": ("courriel", "adresse électronique", "adresse mail", "mail", "mél", "e-mail", "email"),
    "directorate": ("direction", "service", "affectation", "directorate", "department"),
    "arrives_on": ("date d'arrivée", "date d'entrée", "arrivée", "arrival date", "start date"),
    "leaves_on": ("date de départ", "date de sortie", "date de fin", "départ", "departure date", "end date"),
    "kind": ("type", "type de compte", "statut", "kind", "account type"),
    "language": ("langue", "language"),
}
"""The first name of each is the one that a refusal says."""
MANDATORY = ("external_id", "family_name", "given_name", "email")


def plain(title: str) -> str:
    """`Date d’arrivée ` and `DATE D'ARRIVEE` are one title."""
    return re.sub(r"[^a-z0-9]+", " ", fold(title)).strip()


KNOWN = {plain(name): column for column, names in NAMES.items() for name in names}


def places_of(titles: Sequence[str]) -> dict[str, int]:
    """Column → its place. Raises Invalid, naming what is missing or there twice."""
    if len(titles) > COLUMNS_MAX:
        raise Invalid(f"The file has {len(titles)} columns; at most {COLUMNS_MAX} are read.")
    places: dict[str, int] = {}
    for place, title in enumerate(titles):
        column = KNOWN.get(plain(title))
        if column is None:
            continue
        if column in places:
            raise Invalid(f"The columns {titles[places[column]]!r} and {title!r} say the same: keep one of them.")
        places[column] = place
    if missing := [NAMES[column][0] for column in MANDATORY if column not in places]:
        raise Invalid(f"These columns are missing from the first line: {', '.join(missing)}.", errors=[_missing(name) for name in missing])
    return places


def _missing(name: str) -> dict[str, object]:
    return {"location": "body", "at": [1, name], "message": "this column is missing", "type": "missing"}
