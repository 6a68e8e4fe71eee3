"""Paths as clients write them: each segment decoded once, and encoded again in the one way that we write them."""

from urllib.parse import quote, unquote_to_bytes

from aiohttp import web

from parvis_kit.problems import BadRequest, NotFound

DEPTHS = {"0": 0, "1": 1, "infinity": None}
SAFE = "!$&'()*+,;=:@-._~"
"""What a segment may hold bare (RFC 3986 §3.3)."""
SEGMENT_BYTES_MAX = 1024
SEGMENTS_MAX = 16


def raw_path(request: web.Request) -> str:
    """The path as it was asked for, with its percent-encoding and without its query."""
    target = request.raw_path
    if not target.startswith("/"):  # the absolute form, which a proxy may send
        _, _, rest = target.partition("://")
        target = "/" + rest.partition("/")[2]
    return target.partition("?")[0]


def segments_of(path: str) -> tuple[str, ...]:
    """Decoded, without empty ones. Raises NotFound for what can be no name: a dot alone, a slash inside, a NUL, no UTF-8."""
    pieces = [one for one in path.split("/") if one]
    if len(pieces) > SEGMENTS_MAX:
        raise NotFound("There is nothing that deep.")
    return tuple(map(decoded, pieces))


def decoded(piece: str) -> str:
    """One segment. Raises NotFound."""
    try:
        name = unquote_to_bytes(piece).decode()
    except UnicodeDecodeError:
        raise NotFound("A name is UTF-8.") from None
    if name in (".", "..") or "\0" in name or "/" in name or len(name) > SEGMENT_BYTES_MAX:
        raise NotFound("There is nothing of this name.")
    return name


def quoted(name: str) -> str:
    """One segment as we write it."""
    return quote(name, safe=SAFE)


def depth_of(request: web.Request, missing: str) -> int | None:
    """0, 1, or None for infinity. Raises BadRequest."""
    text = request.headers.get("Depth", missing).strip().lower()
    if text not in DEPTHS:
        raise BadRequest("Depth is 0, 1 or infinity.")
    return DEPTHS[text]
