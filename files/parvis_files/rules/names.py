"""What a name, a type and a word to search for may be; everything else is refused, and told why."""

import re
import unicodedata
from urllib.parse import unquote

from parvis_kit.problems import Invalid
from parvis_kit.text import fold

NAME_BYTES_MAX = 255
"""What ext4, NTFS and the clients' own caches hold at the most."""
SORT_CHARACTERS = 80
"""As far as a list is sorted by name; a cursor carries as much."""
DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³")}
)
"""Windows opens a device of this name, whatever its extension."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]")
"""Controls, ends of lines, what turns the direction of writing (so that a .exe reads as a .pdf), what nobody sees, halves of letters."""
JOINERS = frozenset("\u200c\u200d")
"""Of the characters that only say how others are written, those without which Persian, Hindi and most emoji cannot be."""
FOREIGN = frozenset('<>:"|?*')
"""What no name on Windows holds."""
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are drawn as nothing."""
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


class BadName(Invalid):
    """Some computer could not keep a file of this name, or would show another: choose one as the words say."""

    code = "bad-name"


def checked_name(text: str) -> str:
    """As it is kept: composed (NFC). Raises BadName."""
    if CONTROL.search(text) or any(unicodedata.category(one) == "Cf" and one not in JOINERS for one in text):
        raise BadName("A name holds no control characters, nothing that turns the direction of writing, and nothing that nobody sees.")
    name = unicodedata.normalize("NFC", text)
    if name and not any(is_seen(one) for one in name):
        raise BadName("A name shows something: this one would be an empty place in the list.")
    if not name or name != name.strip() or name.endswith("."):
        raise BadName("A name is not empty, and neither begins nor ends with a space, nor ends with a dot: Windows would lose them.")
    decoded = unquote(unquote(name))
    if any(mark in decoded for mark in "/\\\x00") or decoded in (".", ".."):
        raise BadName("A name holds no / and no \\, in no encoding, and is neither . nor ..: it would be taken for a path.")
    if not FOREIGN.isdisjoint(name):
        raise BadName('A name holds none of < > : " | ? * since no computer with Windows could keep it: write 14h30 for 14:30.')
    if len(name.encode()) > NAME_BYTES_MAX:
        raise BadName(f"A name has at most {NAME_BYTES_MAX} bytes: this one has {len(name.encode())}.")
    if name.partition(".")[0].rstrip().upper() in DEVICES:
        raise BadName(f"{name} is the name of a device on Windows: choose another.")
    return name


def is_seen(one: str) -> bool:
    return unicodedata.category(one)[0] in "LNPS" and one not in BLANK


def checked_media_type(text: str) -> str:
    """Raises Invalid."""
    found = text.strip().lower()
    if not MEDIA_TYPE.fullmatch(found):
        raise Invalid("A media type is written type/subtype, without parameters, as application/pdf.")
    return found


def sort_key(name: str) -> str:
    return fold(name)[:SORT_CHARACTERS]


def numbered(name: str, mark: object) -> str:
    """`report (2).pdf` of `report.pdf`, within the length that a name may have."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > 16:
        stem, dot, extension = name, "", ""
    tail = f" ({mark}){dot}{extension}"
    kept = stem.encode()[: NAME_BYTES_MAX - len(tail.encode())].decode(errors="ignore").rstrip()
    return f"{kept}{tail}"
