"""Answers as they leave: JSON, problems (RFC 9457), and the headers that every one of them carries."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict
from pydantic import BaseModel
from pydantic_core import to_json

from parvis_kit.problems import Problem

PROBLEM_TYPE = "urn:parvis:problem:"
PROBLEM_JSON = "application/problem+json"
GUARD = {
    "Server": "parvis",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer that does not say otherwise itself: an answer of an API is not to be stored, guessed at, framed or run."""
BARE = CIMultiDict(GUARD)
JSON = CIMultiDict({"Content-Type": "application/json", **GUARD})


class FieldProblem(BaseModel):
    """What is wrong with one value."""

    location: str
    """path, query, header or body."""
    at: list[str | int]
    """The way to the value, from the outside in."""
    message: str
    type: str


class ProblemDocument(BaseModel):
    """Why the request was not done (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    """Names this one failure, where somebody ought to be told of it."""
    errors: list[FieldProblem] = []


BODILESS = frozenset({204, 304})


class Answer(web.Response):
    """A response that already carries the headers of GUARD, and is whole when it is made.

    Nearly every one is a body with its length on a connection that stays: that goes out in one piece, for half of what it costs aiohttp
    to look for what is not there (4 µs a request). Whatever is out of the ordinary is aiohttp's own affair.
    """

    def __init__(self, body: bytes | None, status: int, headers: CIMultiDict[str]) -> None:
        web.StreamResponse.__init__(self, status=status, headers=headers)  # Response's own would look for texts and charsets
        self.body = body

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        is_plain = request.version == HttpVersion11 and request.method != hdrs.METH_HEAD and self._status not in BODILESS
        stays = request.keep_alive and self._keep_alive is not False
        if not (is_plain and stays) or self.prepared or self._cookies or self._compression or self._chunked:
            return await super().prepare(request)
        body, headers, writer = cast(bytes, self._body or b""), self._headers, request.writer
        headers[hdrs.CONTENT_LENGTH], headers[hdrs.DATE] = str(len(body)), rfc822_formatted_time()
        await writer.write_headers(f"HTTP/1.1 {self._status} {self._reason}", headers)
        await writer.write_eof(body)
        self._keep_alive = self._eof_sent = True
        return writer


def json_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    answer = Answer(body, status, JSON)
    if headers:
        answer.headers.update(headers)
    return answer


def empty_answer(status: int, headers: Mapping[str, str] | None = None) -> Answer:
    answer = Answer(None, status, BARE)
    if headers:
        answer.headers.update(headers)
    return answer


def problem_answer(problem: Problem, instance: str = "") -> Answer:
    """The problem as the caller reads it."""
    return _problem_answer(problem.status, problem.code, problem.detail, problem.errors, problem.headers, instance)


def http_error_answer(error: web.HTTPException) -> web.StreamResponse:
    """What aiohttp refuses by itself, as a problem; its redirections as they are."""
    kept = {name: value for name, value in error.headers.items() if name in ("Allow", "Location", "Retry-After")}
    if error.status < 400:
        return empty_answer(error.status, kept)
    return _problem_answer(error.status, code_of(error.status), "", None, kept, "")


def code_of(status: int) -> str:
    """The code of a refusal that has no better name than its status."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


def title_of(code: str) -> str:
    return code.replace("-", " ").capitalize()


def _problem_answer(status: int, code: str, detail: str, errors: Any, headers: Mapping[str, str], instance: str) -> Answer:
    document = {"type": PROBLEM_TYPE + code, "title": title_of(code), "status": status}
    if detail:
        document["detail"] = detail
    if instance:
        document["instance"] = instance
    if errors is not None:
        document["errors"] = errors
    answer = Answer(to_json(document), status, BARE)
    answer.headers["Content-Type"] = PROBLEM_JSON
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 §11.6.1 asks for one; a door that takes Basic says so itself
    answer.headers.update(headers)
    return answer
