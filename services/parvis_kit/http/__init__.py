"""HTTP: typed routes, the chain around them, problems, OpenAPI, limits, health."""

from aiohttp.web import Request

from parvis_kit.http.answers import empty_answer, json_answer, problem_answer
from parvis_kit.http.chain import LATE, Authenticate, Handler, Limits
from parvis_kit.http.health import Check, database_answers, is_fresh, mount_health
from parvis_kit.http.models import (
    CLOCK,
    DB,
    ETAG,
    LOCATION,
    Body,
    Content,
    Header,
    IdempotencyKey,
    IfMatch,
    Incoming,
    Page,
    Query,
    Reply,
    SentMoment,
    etag,
)
from parvis_kit.http.mount import mount, mount_raw
from parvis_kit.http.network import client_address, client_key
from parvis_kit.http.openapi import openapi
from parvis_kit.http.rates import Limiter, Rate, limit_account, limit_client
from parvis_kit.http.routes import Routes

__all__ = [
    "CLOCK",
    "DB",
    "ETAG",
    "LATE",
    "LOCATION",
    "Authenticate",
    "Body",
    "Check",
    "Content",
    "Handler",
    "Header",
    "IdempotencyKey",
    "IfMatch",
    "Incoming",
    "Limiter",
    "Limits",
    "Page",
    "Query",
    "Rate",
    "Reply",
    "Request",
    "Routes",
    "SentMoment",
    "client_address",
    "client_key",
    "database_answers",
    "empty_answer",
    "etag",
    "is_fresh",
    "json_answer",
    "limit_account",
    "limit_client",
    "mount",
    "mount_health",
    "mount_raw",
    "openapi",
    "problem_answer",
]
