"""XML that clients send: read by lxml with nothing switched on, refused when it is large, deep or declares a document type."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from lxml import etree

from parvis_kit.problems import BadRequest, RequestTimeout, TooLarge
from parvis_kit.webdav.names import DAV, Name, child_of

XML_BYTES_MAX = 2 * 2**20
"""Ten thousand hrefs of two hundred bytes."""
ELEMENTS_MAX = 40_000
DEPTH_MAX = 32
"""Of elements in elements: the deepest request of the RFCs has nine."""
IN_THE_LOOP_BYTES_MAX = 64 * 1024
"""More is parsed in a thread: at 60 MB/s this is a millisecond."""
BODY_SECONDS_MAX = 30.0
PIECE_BYTES = 64 * 1024

PROPFIND, PROP, ALLPROP, PROPNAME, INCLUDE = (child_of(DAV, one) for one in ("propfind", "prop", "allprop", "propname", "include"))
SET, REMOVE = child_of(DAV, "set"), child_of(DAV, "remove")
Element = Any
"""lxml's; its stubs name a private class."""


@dataclass(frozen=True, slots=True)
class Propfind:
    """What properties are wanted."""

    kind: Literal["prop", "allprop", "propname"]
    names: tuple[Name, ...] = ()
    """Of `prop`; of `allprop`, those to include."""


@dataclass(frozen=True, slots=True)
class Proppatch:
    """Name → the element to keep, or None to forget, in the order of the request."""

    changes: tuple[tuple[Name, Element | None], ...]


async def read_body(request: web.Request, bytes_max: int, problem: type[BaseException] | BaseException = TooLarge) -> bytes:
    """All of it, at most so many bytes: a raw door counts for itself. Raises `problem`, RequestTimeout."""
    if (request.content_length or 0) > bytes_max:
        raise problem
    pieces, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for piece in request.content.iter_chunked(PIECE_BYTES):
                size += len(piece)
                if size > bytes_max:
                    raise problem
                pieces.append(piece)
    except TimeoutError:
        raise RequestTimeout("The body did not come whole in time: send it again.") from None
    return b"".join(pieces)


async def read_xml(request: web.Request) -> Element | None:
    """The root element, or None when there is no body. Raises BadRequest, TooLarge, RequestTimeout."""
    body = await read_body(request, XML_BYTES_MAX, TooLarge(f"A request's XML is at most {XML_BYTES_MAX} bytes."))
    if not body.strip():
        return None
    return parse(body) if len(body) <= IN_THE_LOOP_BYTES_MAX else await asyncio.to_thread(parse, body)


def parse(body: bytes) -> Element:
    """Raises BadRequest."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise BadRequest("This is no well-formed XML.") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadRequest("A document type is not read: send the request without one.")
    depth = seen = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        seen += event == "start"
        if depth > DEPTH_MAX or seen > ELEMENTS_MAX:
            raise BadRequest(f"At most {ELEMENTS_MAX} elements, {DEPTH_MAX} in one another.")
    return root


def read_propfind(root: Element | None) -> Propfind:
    """No body asks for all (RFC 4918 §9.1). Raises BadRequest."""
    if root is None:
        return Propfind("allprop")
    if root.tag != PROPFIND:
        raise BadRequest("The body of a PROPFIND is a DAV:propfind.")
    for one in root:
        if one.tag == PROP:
            return Propfind("prop", names_in(one))
        if one.tag == PROPNAME:
            return Propfind("propname")
        if one.tag == ALLPROP:
            return Propfind("allprop", tuple(name for more in root.iterchildren(INCLUDE) for name in names_in(more)))
    raise BadRequest("A DAV:propfind holds DAV:prop, DAV:allprop or DAV:propname.")


def names_in(prop: Element) -> tuple[Name, ...]:
    """Each once, in their order."""
    return tuple(dict.fromkeys(one.tag for one in prop))


def read_proppatch(root: Element | None, roots: Sequence[Name] = (child_of(DAV, "propertyupdate"),)) -> Proppatch:
    """Raises BadRequest."""
    if root is None or root.tag not in roots:
        raise BadRequest("The body says which properties to set: a DAV:propertyupdate with DAV:set and DAV:remove.")
    changes: list[tuple[Name, Element | None]] = []
    for act in root:
        if act.tag in (SET, REMOVE):
            for prop in act.iterchildren(PROP):
                changes += [(one.tag, one if act.tag == SET else None) for one in prop]
    return Proppatch(tuple(changes))
