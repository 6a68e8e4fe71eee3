"""Typed routes: the signature of a door is its contract, read once, when its module is imported."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, ParamSpec, TypedDict, TypeVar, Union, Unpack, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import TypeAdapter

from parvis_kit.http.chain import Handler
from parvis_kit.http.models import Body, Content, Header, Query, Reply
from parvis_kit.problems import (
    BadRequest,
    Forbidden,
    Invalid,
    Problem,
    RequestTimeout,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

T = TypeVar("T")
P = ParamSpec("P")
Door = Callable[P, Awaitable[T]]


class Options(TypedDict, total=False):
    """What a route says beside its signature."""

    scope: str | None
    """What the caller must hold; None, or left out, for everybody."""
    problems: tuple[type[Problem], ...]
    """What its actions refuse. The refusals of scope, body and parameters are added by the kit."""
    status: int | tuple[int, ...]
    """Its success statuses, the usual one first; by default 201 for POST, 200 for others."""
    headers: Mapping[str, str]
    """Headers of its success answers, with words: `ETAG | LOCATION`."""


@dataclass(frozen=True, slots=True)
class HeaderParameter:
    marker: Header
    adapter: TypeAdapter[Any]
    default: Any

    @property
    def is_required(self) -> bool:
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route, understood."""

    method: str
    path: str
    door: Callable[..., Awaitable[Any]]
    scope: str | None
    problems: tuple[type[Problem], ...]
    statuses: tuple[int, ...]
    headers: Mapping[str, str]
    output: Any
    """The type of its JSON; None when it has none."""
    is_raw: bool
    """It may answer with a response of its own making."""
    path_parameters: Mapping[str, TypeAdapter[Any]]
    header_parameters: Mapping[str, HeaderParameter]
    query: type[Query] | None
    body: type[Body] | None
    content: tuple[str, Content] | None
    """The parameter that takes the body as it comes, when it is no JSON."""


@dataclass(frozen=True, slots=True)
class RawRoute:
    """A door that reads and answers by itself (WebDAV, pages); it is not in the OpenAPI document."""

    method: str
    path: str
    door: Handler
    scope: str | None
    waits: bool = False
    """It waits for something to happen most of its time, and is counted among those who wait, not among those at work."""


@dataclass(slots=True)
class Routes:
    """The doors of one module, in the order in which they are written."""

    title: str
    version: str
    operations: list[Operation] = field(default_factory=list)
    raw_routes: list[RawRoute] = field(default_factory=list)

    def get(self, path: str, **options: Unpack[Options]) -> Callable[[Door[P, T]], Door[P, T]]:
        return self.route("GET", path, **options)

    def post(self, path: str, **options: Unpack[Options]) -> Callable[[Door[P, T]], Door[P, T]]:
        return self.route("POST", path, **options)

    def put(self, path: str, **options: Unpack[Options]) -> Callable[[Door[P, T]], Door[P, T]]:
        return self.route("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[Options]) -> Callable[[Door[P, T]], Door[P, T]]:
        return self.route("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[Options]) -> Callable[[Door[P, T]], Door[P, T]]:
        return self.route("DELETE", path, **options)

    def route(self, method: str, path: str, **options: Unpack[Options]) -> Callable[[Door[P, T]], Door[P, T]]:
        """Raises TypeError for a signature that cannot be served."""

        def keep(door: Door[P, T]) -> Door[P, T]:
            self.operations.append(understand(method, path, door, options))
            return door

        return keep

    def raw(self, method: str, path: str, *, scope: str | None = None, waits: bool = False) -> Callable[[Handler], Handler]:
        """A door that goes through the chain and past the types, with no limit of time: transfers are long."""

        def keep(door: Handler) -> Handler:
            self.raw_routes.append(RawRoute(method, path, door, scope, waits))
            return door

        return keep


def understand(method: str, path: str, door: Callable[..., Awaitable[Any]], options: Options) -> Operation:
    """Sort the parameters by where they come from, and the answer by what it may be."""
    name = f"{door.__module__}.{door.__qualname__}"
    hints = get_type_hints(door, include_extras=True)
    if "return" not in hints:
        raise TypeError(f"{name}: say what it answers (`-> Page[AgentOut]`)")
    in_path = set(re.findall(r"{(\w+)", path))
    path_parameters: dict[str, TypeAdapter[Any]] = {}
    header_parameters: dict[str, HeaderParameter] = {}
    models: dict[str, Any] = {}
    content: tuple[str, Content] | None = None
    for parameter in list(inspect.signature(door).parameters.values())[1:]:
        hint = hints[parameter.name]
        if parameter.name in in_path:
            path_parameters[parameter.name] = TypeAdapter(hint)
        elif (header := header_in(hint)) is not None:
            header_parameters[parameter.name] = HeaderParameter(*header, parameter.default)
        elif (marker := content_in(hint)) is not None:
            content = parameter.name, marker
        elif parameter.name in MODELS and isinstance(hint, type) and issubclass(hint, MODELS[parameter.name]):
            models[parameter.name] = hint
        else:
            raise TypeError(f"{name}: {parameter.name!r} is not in the path, no Header, no Content, no `query: Query` and no `body: Body`")
    if missing := in_path - set(path_parameters):
        raise TypeError(f"{name}: the path names {sorted(missing)}, the signature does not")
    output, is_raw, may_be_empty = answer_in(hints["return"])
    status = options.get("status", 204 if output is None and not is_raw else 201 if method == "POST" else 200)
    statuses = status if isinstance(status, tuple) else (status,)
    operation = Operation(
        method=method,
        path=path,
        door=door,
        scope=options.get("scope"),
        problems=(),
        statuses=tuple(dict.fromkeys((*statuses, 204) if may_be_empty and output is not None else statuses)),
        headers=options.get("headers", {}),
        output=output,
        is_raw=is_raw,
        path_parameters=path_parameters,
        header_parameters=header_parameters,
        query=models.get("query"),
        body=models.get("body"),
        content=content,
    )
    return _with_problems(operation, options.get("problems", ()))


MODELS: dict[str, type[Query] | type[Body]] = {"query": Query, "body": Body}


def _with_problems(operation: Operation, own: tuple[type[Problem], ...]) -> Operation:
    """Those that it names, and those that follow from what it reads."""
    found: list[type[Problem]] = [*own]
    if operation.scope is not None:
        found += [Unauthorized, Forbidden, TooManyRequests]
    if operation.body or operation.content:
        found += [BadRequest, RequestTimeout, TooLarge, UnsupportedMediaType]
    if operation.body or operation.content or operation.query or operation.path_parameters or operation.header_parameters:
        found += [Invalid]
    found += [one.marker.missing for one in operation.header_parameters.values() if one.is_required]
    found += [refused for one in operation.header_parameters.values() for refused in one.marker.refused]
    found += [Unavailable]
    values = {name: getattr(operation, name) for name in Operation.__slots__}
    return Operation(**values | {"problems": tuple(dict.fromkeys(found))})


def header_in(hint: Any) -> tuple[Header, TypeAdapter[Any]] | None:
    """`Annotated[str, Header("X-Name")]`, and the same `| None`."""
    if get_origin(hint) is Annotated:
        for one in get_args(hint)[1:]:
            if isinstance(one, Header):
                return one, TypeAdapter(hint)
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, map(header_in, get_args(hint))), None)
    return None


def content_in(hint: Any) -> Content | None:
    """`Annotated[Incoming, Content(…)]`."""
    return next((one for one in get_args(hint)[1:] if isinstance(one, Content)), None) if get_origin(hint) is Annotated else None


def answer_in(hint: Any) -> tuple[Any, bool, bool]:
    """The type of the JSON (None for none), whether it may be a response as such, whether it may be nothing."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    outputs: list[Any] = []
    is_raw = may_be_empty = False
    for part in parts:
        inner = get_args(part)[0] if get_origin(part) is Reply else part
        if inner is NoneType or inner is None:
            may_be_empty = True
        elif isinstance(inner, type) and issubclass(inner, web.StreamResponse):
            is_raw = True
        else:
            outputs.append(inner)
    return (Union[tuple(outputs)] if outputs else None), is_raw, may_be_empty  # noqa: UP007 (built at run time)
