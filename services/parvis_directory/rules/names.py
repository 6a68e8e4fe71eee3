"""Names as they are shown: what a file shouts is made presentable, and no accent is claimed that is not there."""

import re
import unicodedata

from parvis_kit.text import fold

WORD = re.compile(r"[^\W\d_]+")
UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
"""Soft hyphens, zero-width spaces and byte-order marks, which travel with what is copied from a page."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ue000-\uf8ff\ufff9-\uffff]")


def cleaned(text: str) -> str:
    """One line, one space between words, letters composed (NFC)."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", UNSEEN.sub("", text))).split())


def holds_control(text: str) -> bool:
    """A control, an override of the writing's direction, or what stands for a letter that was lost."""
    return CONTROL.search(text) is not None


def is_shouted(name: str) -> bool:
    return name.isupper() and sum(one.isalpha() for one in name) > 1


def presentable(name: str) -> str:
    """`JEAN-PIERRE` → `Jean-Pierre`, `D'ARTAGNAN` → `D'Artagnan`; what is written in both cases stays as it is."""
    return WORD.sub(lambda found: found[0][0] + found[0][1:].lower(), name) if is_shouted(name) else name


def is_same_shouted(shouted: str, kept: str) -> bool:
    """Whether capitals without accents are no news: `ELOISE` of the file is the Éloïse that somebody wrote with care."""
    return is_shouted(shouted) and fold(shouted) == fold(kept)


def is_misread(name: str) -> bool:
    """`HÃ©lÃ¨ne`: UTF-8 that was read as Windows-1252 on its way here, and saved like that. What comes out must be of the same letters:
    the É– of QUALITÉ–COÛTS is UTF-8 too, for a ɖ."""
    try:
        meant = name.encode("cp1252").decode()
        meant.encode("cp1252")
    except UnicodeError:
        return False
    return meant != name
