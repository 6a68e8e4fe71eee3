"""How an agent answers in a thread: by a word that begins with an exclamation mark, or by a reaction."""

from collections.abc import Mapping
from typing import Any, Literal

from parvis_kit.text import fold

Command = Literal["accept", "decline", "tentative"]
WORDS: Mapping[str, Command] = {
    "!oui": "accept", "!yes": "accept", "!accepter": "accept",
    "!non": "decline", "!no": "decline", "!decliner": "decline",
    "!peut-etre": "tentative", "!peutetre": "tentative", "!maybe": "tentative",
}  # fmt: skip
SIGNS: Mapping[str, Command] = {
    "👍": "accept", "✅": "accept", "✔": "accept", "☑": "accept",
    "👎": "decline", "❌": "decline", "✖": "decline",
    "🤔": "tentative", "🤷": "tentative", "❓": "tentative",
}  # fmt: skip
SKIN_TONES = range(0x1F3FB, 0x1F400)
JOINERS = {0xFE0F, 0x200D, 0x2640, 0x2642}
"""Variation selector, joiner, and the signs that make a shrug one of a woman or a man."""
BODY_CHARACTERS_MAX = 100
"""A command is short; what is longer is a message."""


def command_in(body: Any) -> Command | None:
    """The first word of a message, however it is accented: `!peut-être`. Text that quotes what it answers to is looked through."""
    if not isinstance(body, str):
        return None
    own = [line for line in body.splitlines() if line.strip() and not line.startswith(">")]
    if not own or len(own[0]) > BODY_CHARACTERS_MAX:
        return None
    word = fold(own[0].strip().split()[0]).rstrip(".!")
    return WORDS.get(word.replace("\N{NON-BREAKING HYPHEN}", "-"))


def command_of_sign(key: Any) -> Command | None:
    """A reaction's key, whatever its skin tone."""
    if not isinstance(key, str) or len(key) > 20:
        return None
    bare = "".join(one for one in key if ord(one) not in SKIN_TONES and ord(one) not in JOINERS)
    return SIGNS.get(bare)
