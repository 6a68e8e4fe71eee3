"""How pages look: templates, words in two languages, numbers as people write them, and what a browser may load."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from parvis_portal.visitors import Language, Visitor
from parvis_portal.words import WORDS

HERE = Path(__file__).resolve().parent
UNITS = {"fr": ("octet", "octets", "ko", "Mo", "Go", "To", "Po"), "en": ("byte", "bytes", "kB", "MB", "GB", "TB", "PB")}
MONTHS = {
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "en": "January February March April May June July August September October November December".split(),
}
DAYS = {
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche".split(),
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
}
TYPES = {
    ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}  # fmt: skip
"""Of what is served as it lies; another ending is not served."""
THIN, WIDE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Served:
    """A file of ours, as it goes out."""

    content: bytes
    packed: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """What was wrong with a form: the field that it is tied to (empty: all of it), and a sentence."""

    field: str
    words: str
    code: str = ""
    """Of the problem, where a service refused."""


@dataclass(frozen=True, slots=True)
class Looks:
    """All that is needed to make a page."""

    zone: ZoneInfo
    csp: str
    environment: Environment
    files: Mapping[str, Served]
    digest: str

    def page(self, template: str, language: Language, visitor: Visitor | None = None, *, status: int = 200, **values: Any) -> web.Response:
        """A whole page, or a fragment of one."""
        text = self.environment.get_template(template).render(
            language=language, visitor=visitor, digest=self.digest, once=uuid4().hex, t=partial(said, language),
            bytes=partial(as_bytes, language), day=partial(as_day, language, self.zone), moment=partial(as_moment, language, self.zone),
            clock=partial(as_clock, self.zone), euros=partial(as_euros, language), number=partial(as_number, language),
            month=partial(as_month, language), **values,
        )  # fmt: skip
        return web.Response(text=text, status=status, content_type="text/html", headers={"Content-Security-Policy": self.csp, **HEADERS})


HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Vary": "Accept-Language, Cookie, HX-Request",
}


def looks_of(zone: ZoneInfo, blobs_origin: str) -> Looks:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, auto_reload=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, cache_size=200,
    )  # fmt: skip
    environment.filters["noon"] = lambda day: datetime.combine(day, time(12), zone)
    files = {
        one.name: Served(content, gzip.compress(content, 9, mtime=0), TYPES[one.suffix])
        for one in sorted((HERE / "static").iterdir())
        if one.suffix in TYPES and (content := one.read_bytes())
    }
    digest = hashlib.sha256(b"".join(name.encode() + one.content for name, one in files.items())).hexdigest()[:12]
    sources = f"'self' {blobs_origin}".strip()
    csp = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {sources}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return Looks(zone, csp, environment, files, digest)


def said(language: Language, key: str, /, **values: Any) -> str:
    """The words of this key. Raises KeyError for one that there is not."""
    words = WORDS[key][0 if language == "fr" else 1]
    return words.format(**values) if values else words


def as_bytes(language: Language, number: int | None) -> str:
    if number is None:
        return ""
    units = UNITS[language]
    if number < 1000:
        return f"{number}{WIDE}{units[0] if number < 2 else units[1]}"
    size, unit = float(number), 1
    while size >= 1000 and unit < len(units) - 1:
        size, unit = size / 1000, unit + 1
    return f"{_decimal(language, size, 1 if size < 100 else 0)}{WIDE}{units[unit]}"


def as_number(language: Language, value: int | float, places: int = 0) -> str:
    return _decimal(language, value, places)


@lru_cache(4096)
def as_euros(language: Language, cents: int | None, places: int = 2) -> str:
    """Of an amount in cents; a dash for none."""
    if cents is None:
        return "–"
    amount = _decimal(language, cents / 100, places)
    return f"{amount}{WIDE}€" if language == "fr" else f"€{amount}"


def _decimal(language: Language, value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    return text.replace(",", THIN).replace(".", ",") if language == "fr" else text


@lru_cache(4096)
def _read(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def as_day(language: Language, zone: ZoneInfo, moment: str | datetime, *, weekday: bool = False) -> str:
    """`3 mars 2026`; `3 March 2026`."""
    at = (_read(moment) if isinstance(moment, str) else moment).astimezone(zone)
    first = "1er" if language == "fr" and at.day == 1 else str(at.day)
    text = f"{first} {MONTHS[language][at.month - 1]} {at.year}"
    return f"{DAYS[language][at.weekday()]} {text}" if weekday else text


def as_month(language: Language, month: str) -> str:
    """`2026-11` as `novembre 2026`; `November 2026`."""
    return f"{MONTHS[language][int(month[5:7]) - 1]} {month[:4]}"


def as_clock(zone: ZoneInfo, moment: str | datetime, *, seconds: bool = False) -> str:
    return f"{(_read(moment) if isinstance(moment, str) else moment).astimezone(zone):{'%H:%M:%S' if seconds else '%H:%M'}}"


def as_moment(language: Language, zone: ZoneInfo, moment: str | datetime | None) -> Markup:
    """A day and an hour, which machines can read as well."""
    if not moment:
        return Markup("–")
    iso = moment if isinstance(moment, str) else moment.isoformat()
    text = f"{as_day(language, zone, moment)}, {as_clock(zone, moment)}"
    return Markup('<time datetime="{}">{}</time>').format(iso, text)
