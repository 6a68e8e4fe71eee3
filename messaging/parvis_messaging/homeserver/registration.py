"""The file by which a homeserver knows messaging, and messaging the homeserver: two tokens, made here, kept by both."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from parvis_messaging.rules import BOT

ID = "parvis"
FILE_BYTES_MAX = 64 * 1024


class RegistrationRefused(ValueError):
    """The file is none of ours; the message says why."""


@dataclass(frozen=True, slots=True)
class Registration:
    url: str
    """Where the homeserver reaches messaging."""
    bot: str
    """The localpart of the one who speaks for Parvis."""
    as_token: str = field(repr=False)
    """By which messaging shows who it is."""
    hs_token: str = field(repr=False)
    """By which the homeserver shows who it is."""


def made(server_name: str, url: str) -> dict[str, Any]:
    """A new one, with new tokens. Nobody else takes names and aliases under `_parvis_`. Agents are not in it: what they say in rooms
    without Parvis is not pushed to us."""
    server = re.escape(server_name)
    return {
        "id": ID,
        "url": url.rstrip("/"),
        "as_token": token_hex(32),
        "hs_token": token_hex(32),
        "sender_localpart": BOT,
        "rate_limited": False,
        "io.element.msc4190": True,
        "namespaces": {
            "users": [{"exclusive": True, "regex": f"@_parvis_.*:{server}"}],
            "aliases": [{"exclusive": True, "regex": f"#_parvis_.*:{server}"}],
            "rooms": [],
        },
    }


def write(path: Path, said: dict[str, Any]) -> None:
    """JSON, which is YAML; for its owner's eyes. Raises FileExistsError: new tokens are another act."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(said, file, indent=1)
        file.write("\n")


def read(path: Path) -> Registration:
    """Raises RegistrationRefused."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(FILE_BYTES_MAX))
        found = Registration(said["url"], said["sender_localpart"], said["as_token"], said["hs_token"])
    except OSError as error:
        raise RegistrationRefused(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise RegistrationRefused(f"{path} is no registration as `parvis messaging registration` writes it") from None
    if not all(isinstance(one, str) and len(one) >= 8 for one in (found.as_token, found.hs_token)) or found.as_token == found.hs_token:
        raise RegistrationRefused(f"{path} holds no two tokens")
    return found
