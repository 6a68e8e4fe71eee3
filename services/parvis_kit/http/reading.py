"""A typed door at work: what came is read and refused by its types, what it gives is written as JSON."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from parvis_kit.http.answers import empty_answer, json_answer
from parvis_kit.http.chain import Handler, Limits
from parvis_kit.http.models import Body, Content, Query, Reply
from parvis_kit.http.routes import HeaderParameter, Operation
from parvis_kit.problems import BadRequest, Invalid, RequestTimeout, TooLarge, UnsupportedMediaType

ERRORS_MAX = 20
"""A list of a thousand wrong items is answered with the first ones."""
JSON_TYPES = ("application/json", "application/merge-patch+json")
NUL_ESCAPED = b"\\u0000"
"""The only way for a NUL into a JSON string; PostgreSQL's text cannot hold one."""
CLOSING = {"Connection": "close"}

Read = Callable[[web.Request, dict[str, Any]], None]


def typed(operation: Operation, limits: Limits) -> Handler:
    """The door as aiohttp calls it; refusals leave it as Problem."""
    door, statuses, usual = operation.door, frozenset(operation.statuses), operation.statuses[0]
    dump = TypeAdapter(operation.output).dump_json if operation.output is not None else None
    reads = readers_of(operation)
    read_body = body_reader(operation.body, limits) if operation.body is not None else None
    content = operation.content

    async def handle(request: web.Request) -> web.StreamResponse:
        found: dict[str, Any] = {}
        for read in reads:
            read(request, found)
        if read_body is not None:
            refuse_other_media(request)
            # a small body nearly always comes with its head, and a timeout costs 4 µs
            raw = await (request.read() if request.content.is_eof() else read_slowly(request, limits))
            found["body"] = read_body(raw)
        elif content is not None:
            refuse_other_media(request, content[1].media_types)
            found[content[0]] = Unread(request, content[1])
        said = await door(request, **found)
        if isinstance(said, web.StreamResponse):
            return said
        headers: Mapping[str, str] | None = None
        status = usual
        if type(said) is Reply:
            headers, said = said.headers, (reply := said).body
            status = reply.status or usual
            if status not in statuses:
                raise TypeError(f"{door.__qualname__} answers {status}, which its route does not declare: `status=(…)`")
        if said is None or dump is None:
            return empty_answer(status if dump is None or status != usual else 204, headers)
        return json_answer(dump(said), status, headers)

    return handle


def readers_of(operation: Operation) -> Sequence[Read]:
    """One for each place that the signature takes from; the body apart, since it is awaited."""
    reads: list[Read] = []
    if operation.path_parameters or operation.query is not None:
        reads.append(refuse_nul)
    if operation.path_parameters:
        reads.append(path_reader(operation.path_parameters))
    if operation.header_parameters:
        reads.append(header_reader(operation.header_parameters))
    if operation.query is not None:
        reads.append(query_reader(operation.query))
    return reads


def refuse_nul(request: web.Request, found: dict[str, Any]) -> None:
    if "%00" in request.raw_path:
        raise Invalid("No value may hold a NUL character.")


def path_reader(parameters: Mapping[str, TypeAdapter[Any]]) -> Read:
    items = [(name, adapter.validator.validate_python) for name, adapter in parameters.items()]

    def read(request: web.Request, found: dict[str, Any]) -> None:
        came = request.match_info
        for name, validate in items:
            try:
                found[name] = validate(came[name])
            except ValidationError as error:
                raise invalid("path", error, name) from None

    return read


def header_reader(parameters: Mapping[str, HeaderParameter]) -> Read:
    items = [(name, one, one.marker.name, one.adapter.validator.validate_python) for name, one in parameters.items()]

    def read(request: web.Request, found: dict[str, Any]) -> None:
        headers = request.headers
        for name, parameter, header, validate in items:
            came = headers.getall(header, ())
            if not came:
                if parameter.default is inspect.Parameter.empty:
                    raise parameter.marker.missing(f"The header {header} is missing.")
                found[name] = parameter.default
                continue
            if len(came) > 1:
                raise Invalid(errors=[_error("header", [header], "given more than once", "repeated")])
            if not came[0].isprintable():
                raise Invalid(errors=[_error("header", [header], "holds what is no text", "unprintable")])
            try:
                found[name] = validate(came[0])
            except ValidationError as error:
                raise invalid("header", error, header) from None

    return read


def query_reader(model: type[Query]) -> Read:
    validate = model.__pydantic_validator__.validate_python
    lists = frozenset(
        field.alias or name for name, field in model.model_fields.items() if get_origin(field.annotation) in (list, tuple, set, frozenset)
    )

    def read(request: web.Request, found: dict[str, Any]) -> None:
        came = request.query
        values: dict[str, Any] = {}
        for name, value in came.items():
            if name in lists:
                values.setdefault(name, []).append(value)
            elif name in values:
                raise Invalid(errors=[_error("query", [name], "given more than once", "repeated")])
            else:
                values[name] = value
        try:
            found["query"] = validate(values)
        except ValidationError as error:
            raise invalid("query", error) from None

    return read


def refuse_other_media(request: web.Request, media_types: Sequence[str] = JSON_TYPES) -> None:
    headers = request.headers
    if headers.get(hdrs.CONTENT_TYPE) not in media_types and request.content_type not in media_types:
        raise UnsupportedMediaType(f"Send {media_types[0]}.")
    if headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise UnsupportedMediaType("Send it as it is, not compressed.")


def body_reader(model: type[Body], limits: Limits) -> Callable[[bytes], Any]:
    validate = model.__pydantic_validator__.validate_json

    def read(raw: bytes) -> Any:
        if len(raw) > limits.body_bytes:
            raise TooLarge(f"At most {limits.body_bytes} bytes.")
        if NUL_ESCAPED in raw and holds_nul(raw):
            raise Invalid("No value may hold a NUL character.")
        try:
            return validate(raw)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False, include_context=False)[0]["type"] == "json_invalid":
                raise BadRequest("The body is not JSON.") from None
            raise invalid("body", error) from None

    return read


async def read_slowly(request: web.Request, limits: Limits) -> bytes:
    """Raises RequestTimeout, TooLarge, or BadRequest when the framing is broken; the connection is of no use then."""
    if (request.content_length or 0) > limits.body_bytes:
        raise TooLarge(f"At most {limits.body_bytes} bytes.", headers=CLOSING)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await request.read()
    except TimeoutError:
        raise RequestTimeout("The body did not come in time.", headers=CLOSING) from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"At most {limits.body_bytes} bytes.", headers=CLOSING) from None
    except web.RequestPayloadError:
        raise BadRequest("The body's framing is broken.", headers=CLOSING) from None


@dataclass(frozen=True, slots=True)
class Unread:
    """The Incoming of a request."""

    request: web.Request
    content: Content

    async def read(self) -> bytes:
        return await read_content(self.request, self.content)


async def read_content(request: web.Request, content: Content) -> bytes:
    """As `read_slowly`, with limits of its own: aiohttp's is for JSON."""
    too_large = TooLarge(f"At most {content.bytes_max} bytes.", headers=CLOSING)
    if (request.content_length or 0) > content.bytes_max:
        raise too_large
    came = bytearray()
    try:
        async with asyncio.timeout(content.seconds_max):
            async for chunk in request.content.iter_any():
                came += chunk
                if len(came) > content.bytes_max:
                    raise too_large
    except TimeoutError:
        raise RequestTimeout("The body did not come in time.", headers=CLOSING) from None
    except web.RequestPayloadError:
        raise BadRequest("The body's framing is broken.", headers=CLOSING) from None
    return bytes(came)


def holds_nul(raw: bytes) -> bool:
    """Told apart from an escaped backslash before `u0000`; what is no JSON is refused for that, later."""
    try:
        return _has_nul(json.loads(raw))
    except (ValueError, RecursionError):
        return False


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(one) for name, one in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def invalid(location: str, error: ValidationError, *prefix: str) -> Invalid:
    """Which values are wrong and why; never the values, which may be secrets."""
    details: list[ErrorDetails] = error.errors(include_url=False, include_input=False, include_context=False)
    return Invalid(errors=[_error(location, [*prefix, *one["loc"]], one["msg"], one["type"]) for one in details[:ERRORS_MAX]])


def _error(location: str, at: Sequence[str | int], message: str, kind: str) -> dict[str, Any]:
    return {"location": location, "at": list(at), "message": message, "type": kind}
