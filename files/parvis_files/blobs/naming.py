"""How a stored object is served: under its name (RFC 6266), shown only when its type can do no harm."""

from urllib.parse import quote

SHOWN = frozenset(
    {
        "application/pdf",
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "audio/mpeg",
        "audio/ogg",
        "video/mp4",
        "video/webm",
        "text/plain",
    }
)
"""Types that a browser may show in place; the others, and SVG and HTML above all, are saved."""
DEFAULT_TYPE = "application/octet-stream"


def disposition(name: str, media_type: str, *, inline: bool) -> str:
    """`filename*` for who knows it, plain letters for who does not."""
    kind = "inline" if inline and media_type in SHOWN else "attachment"
    plain = "".join(letter if letter.isascii() and letter.isprintable() and letter not in '"\\%;' else "_" for letter in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def served_type(media_type: str) -> str:
    """With its character set, where a guess could turn text into something that runs."""
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
