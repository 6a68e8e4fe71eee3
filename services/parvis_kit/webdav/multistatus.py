"""Multistatus answers, put together from bytes: a tree of elements for each property would cost ten times as much."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from parvis_kit.webdav.names import DECLARED, Name, opening, prefixed

MULTISTATUS = "application/xml; charset=utf-8"
HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus ' + DECLARED + b">"
OK = b"<D:status>HTTP/1.1 200 OK</D:status>"
NOT_FOUND = b"<D:status>HTTP/1.1 404 Not Found</D:status>"
NOT_ALLOWED_IN_XML = {code: None for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: None, 0xFFFF: None}


def escaped(text: str) -> bytes:
    """As it stands between tags. What XML 1.0 cannot hold is left out; a carriage return is written so that it survives."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text.translate(NOT_ALLOWED_IN_XML).encode("utf-8", "replace")


def status_line(status: int) -> bytes:
    return f"<D:status>HTTP/1.1 {status} {HTTPStatus(status).phrase}</D:status>".encode()


def element(name: Name, inner: bytes = b"") -> bytes:
    """`inner` is XML already."""
    first, last = opening(name)
    return b"<" + first + b">" + inner + b"</" + last + b">" if inner else b"<" + first + b"/>"


def text_element(name: Name, text: str) -> bytes:
    return element(name, escaped(text))


def href_of(path: str) -> bytes:
    """`path` is encoded already."""
    return b"<D:href>" + path.replace("&", "&amp;").replace("'", "&apos;").encode() + b"</D:href>"


class Multistatus:
    """Grows by a response at a time. With `minimal` what is not there is passed over in silence (RFC 8144)."""

    __slots__ = ("pieces", "minimal")

    def __init__(self, *, minimal: bool = False) -> None:
        self.pieces: list[bytes] = [HEAD]
        self.minimal = minimal

    def add(self, path: str, found: Iterable[bytes], missing: Iterable[Name] = (), refused: Sequence[tuple[int, bytes]] = ()) -> None:
        """A response with its properties: those found, as elements; those that are not there, by name; others by status."""
        pieces = self.pieces
        pieces.append(b"<D:response>" + href_of(path))
        there = b"".join(found)
        gone = b"" if self.minimal else b"".join(map(prefixed, missing))
        if there or not (gone or refused):
            pieces.append(b"<D:propstat><D:prop>" + there + b"</D:prop>" + OK + b"</D:propstat>")
        if gone:
            pieces.append(b"<D:propstat><D:prop>" + gone + b"</D:prop>" + NOT_FOUND + b"</D:propstat>")
        for status, inner in refused:
            pieces.append(b"<D:propstat>" + inner + status_line(status) + b"</D:propstat>")
        pieces.append(b"</D:response>")

    def add_status(self, path: str, status: int, error: bytes = b"") -> None:
        """A response that is nothing but a status, with the precondition that was not met."""
        reason = b"<D:error>" + error + b"</D:error>" if error else b""
        self.pieces.append(b"<D:response>" + href_of(path) + status_line(status) + reason + b"</D:response>")

    def add_raw(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def sync_token(self, token: str) -> None:
        self.pieces.append(b"<D:sync-token>" + escaped(token) + b"</D:sync-token>")

    def body(self) -> bytes:
        return b"".join(self.pieces) + b"</D:multistatus>"


def error_body(inner: bytes) -> bytes:
    """The body of a refusal (RFC 4918 §16)."""
    return b'<?xml version="1.0" encoding="utf-8"?>\n<D:error ' + DECLARED + b">" + inner + b"</D:error>"
