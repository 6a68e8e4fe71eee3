"""The OpenAPI 3.1 document of a service, from its routes alone."""

import inspect
import re
from collections.abc import Sequence
from copy import copy
from http import HTTPStatus
from typing import Annotated, Any, Literal, cast

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from parvis_kit.http.answers import PROBLEM_JSON, ProblemDocument
from parvis_kit.http.reading import JSON_TYPES
from parvis_kit.http.routes import Operation, Routes
from parvis_kit.problems import Problem

BODILESS = (204, 205, 304)
SECURITY_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A signed token of ten minutes, from `POST /auth/token`."},
    "appPassword": {"type": "http", "scheme": "basic", "description": "An e-mail address and an app password."},
}
PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": "How to say who asks."},
    429: {"Retry-After": "Seconds to wait."},
    503: {"Retry-After": "Seconds to wait."},
}
Key = tuple[int, str, str]
Schemas = dict[Key, dict[str, Any]]


def refuse_same_names(service: str, routes: Sequence[Routes]) -> None:
    """Raises ValueError when two doors have the same name: operation ids are the names of functions, and stay."""
    names: dict[str, Operation] = {}
    for operation in (operation for one in routes for operation in one.operations):
        other = names.setdefault(operation.door.__name__, operation)
        if other is not operation:
            modules = f"{operation.door.__module__} and {other.door.__module__}"
            raise ValueError(f"{service}: {modules} both have a door {operation.door.__name__}: rename one")


def openapi(service: str, routes: Sequence[Routes]) -> dict[str, Any]:
    """Takes tenths of a second of CPU: call it in a thread."""
    operations = [operation for one in routes for operation in one.operations]
    schemas, definitions = schemas_of(operations)
    paths: dict[str, Any] = {}
    responses: dict[str, Any] = {}
    for number, operation in enumerate(operations):
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = describe(service, number, operation, schemas, responses)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Parvis {service}", "version": max((one.version for one in routes), default="1")},
        "paths": paths,
        "components": {"schemas": definitions, "responses": dict(sorted(responses.items())), "securitySchemes": SECURITY_SCHEMES},
    }


def schemas_of(operations: Sequence[Operation]) -> tuple[Schemas, dict[str, Any]]:
    """All from pydantic in one pass, so that what recurs is a component."""
    wanted: list[tuple[Key, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
        ((-1, "problem", ""), "serialization", TypeAdapter(ProblemDocument))
    ]
    for number, operation in enumerate(operations):
        wanted += [((number, "path", name), "validation", adapter) for name, adapter in operation.path_parameters.items()]
        wanted += [((number, "header", name), "validation", one.adapter) for name, one in operation.header_parameters.items()]
        if operation.query is not None:
            wanted += [((number, "query", name), "validation", _field(one)) for name, one in operation.query.model_fields.items()]
        if operation.body is not None:
            wanted.append(((number, "body", ""), "validation", TypeAdapter(operation.body)))
        if operation.output is not None:
            wanted.append(((number, "output", ""), "serialization", TypeAdapter(operation.output)))
    found, extra = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    return {key: schema for (key, _), schema in found.items()}, extra.get("$defs", {})


def _field(field: FieldInfo) -> TypeAdapter[Any]:
    """By itself: its alias is the model's, and the parameter's name here."""
    alone = copy(field)
    alone.alias = alone.validation_alias = alone.serialization_alias = None
    return TypeAdapter(cast(Any, Annotated)[field.annotation, alone])


def describe(service: str, number: int, operation: Operation, schemas: Schemas, responses: dict[str, Any]) -> dict[str, Any]:
    """One operation; the responses that it shares with others are put beside."""
    summary, _, rest = (inspect.getdoc(operation.door) or operation.door.__name__.replace("_", " ")).partition("\n")
    said: dict[str, Any] = {"operationId": operation.door.__name__, "summary": summary, "tags": [service]}
    if rest.strip():
        said["description"] = rest.strip()
    if parameters := parameters_of(number, operation, schemas):
        said["parameters"] = parameters
    if operation.body is not None:
        kinds = JSON_TYPES if operation.method == "PATCH" else JSON_TYPES[:1]
        said["requestBody"] = {"required": True, "content": {kind: {"schema": schemas[number, "body", ""]} for kind in kinds}}
    elif operation.content is not None:
        media = {kind: {"schema": {"type": "string"}} for kind in operation.content[1].media_types}
        said["requestBody"] = {"required": True, "content": media}
    said["responses"] = {str(status): success(number, operation, status, schemas) for status in operation.statuses}
    for status, problems in sorted(by_status(operation.problems).items()):
        name = "Or".join(problem.__name__ for problem in problems)
        responses.setdefault(name, refusal(status, problems, schemas[-1, "problem", ""]))
        said["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    if operation.scope is not None:
        said["security"] = [{scheme: [operation.scope]} for scheme in SECURITY_SCHEMES]
    return said


def parameters_of(number: int, operation: Operation, schemas: Schemas) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for name in operation.path_parameters:
        parameters.append(_parameter("path", name, True, schemas[number, "path", name]))
    for name, one in operation.header_parameters.items():
        parameters.append(_parameter("header", one.marker.name, one.is_required, schemas[number, "header", name]))
    for name, field in operation.query.model_fields.items() if operation.query is not None else ():
        parameters.append(_parameter("query", field.alias or name, field.is_required(), schemas[number, "query", name]))
    return parameters


def _parameter(location: str, name: str, required: bool, schema: dict[str, Any]) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": location, "required": required, "schema": schema}
    if description := schema.get("description"):
        parameter["description"] = description
    return parameter


def success(number: int, operation: Operation, status: int, schemas: Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if operation.headers:
        answer["headers"] = _headers(operation.headers)
    if status not in BODILESS:
        if operation.output is not None:
            answer["content"] = {JSON_TYPES[0]: {"schema": schemas[number, "output", ""]}}
        elif operation.is_raw:
            answer["content"] = {"*/*": {}}
    return answer


def refusal(status: int, problems: Sequence[type[Problem]], schema: dict[str, Any]) -> dict[str, Any]:
    words = "\n\n".join(f"`{problem.code}`: {inspect.getdoc(problem) or problem.__name__}" for problem in problems)
    answer: dict[str, Any] = {"description": words, "content": {PROBLEM_JSON: {"schema": schema}}}
    if status in PROBLEM_HEADERS:
        answer["headers"] = _headers(PROBLEM_HEADERS[status])
    return answer


def _headers(described: Any) -> dict[str, Any]:
    return {name: {"description": words, "schema": {"type": "string"}} for name, words in described.items()}


def by_status(problems: Sequence[type[Problem]]) -> dict[int, list[type[Problem]]]:
    found: dict[int, list[type[Problem]]] = {}
    for problem in sorted(problems, key=lambda one: one.__name__):
        found.setdefault(problem.status, []).append(problem)
    return found
