"""Refusals as DAV clients read them: an error element that names the precondition, and Basic first among the challenges."""

from collections.abc import Callable

from aiohttp import web

from parvis_kit.http.answers import BARE, Answer
from parvis_kit.http.chain import Authenticate, Handler
from parvis_kit.problems import Problem, Unauthorized
from parvis_kit.webdav.multistatus import MULTISTATUS, error_body, escaped
from parvis_kit.webdav.names import Name, opening, prefixed

BASIC = 'Basic realm="Parvis", charset="UTF-8"'
"""First and alone: some clients read only the first challenge, and none of them can do anything with Bearer."""


class Precondition(Problem):
    """What was asked contradicts a rule that has a name in a namespace: the client reads the name, a person the sentence."""

    def __init__(self, name: Name, detail: str = "", *, status: int = 403, inner: bytes = b"") -> None:
        super().__init__(detail)
        self.name, self.inner = name, inner
        self.status = status  # type: ignore[misc]  # of this one refusal; its kind is its name

    def element(self) -> bytes:
        if not self.inner:
            return prefixed(self.name)
        first, last = opening(self.name)
        return b"<" + first + b">" + self.inner + b"</" + last + b">"


def dav_answer(body: bytes, status: int = 207, headers: dict[str, str] | None = None, media_type: str = MULTISTATUS) -> Answer:
    answer = Answer(body=body, status=status, headers=BARE)
    answer.headers["Content-Type"] = media_type
    if headers:
        answer.headers.update(headers)
    return answer


def refusal_answer(problem: Problem) -> Answer:
    """An empty error element would mean to Thunderbird that it asks too often: there is a sentence in it at least."""
    inner = problem.element() if isinstance(problem, Precondition) else b""
    said = b"<D:responsedescription>" + escaped(problem.detail or problem.code) + b"</D:responsedescription>"
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = BASIC
    return dav_answer(error_body(inner + said), problem.status, headers)


def guarded(authenticate: Callable[[web.Request], Authenticate], scope: str) -> Callable[[Handler], Handler]:
    """A raw door that asks who is there by itself, so that its refusals are DAV's too."""

    def around(door: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                await authenticate(request)(request, scope)
                return await door(request)
            except Unauthorized as problem:
                await drained(request)
                return refusal_answer(problem)
            except Problem as problem:
                return refusal_answer(problem)

        return handle

    return around


UNREAD_BYTES_MAX = 64 * 1024


async def drained(request: web.Request) -> None:
    """What a client sends with its first, anonymous request is read, or its connection would be lost for the second."""
    if request.can_read_body and (request.content_length or 0) <= UNREAD_BYTES_MAX:
        async for _ in request.content.iter_chunked(UNREAD_BYTES_MAX):
            return
