"""One JSON object a line, with the ids that let a request be followed to its reactions; never a secret, never a line break."""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any

from parvis_kit.context import CAUSE

SERVICE: ContextVar[str] = ContextVar("service", default="")
"""Whose request or task is at work; a process may hold several services."""
ACCESS = logging.getLogger("parvis.access")
LINE_CHARACTERS_MAX = 16_384
"""A message or traceback beyond it is cut: some collectors drop the whole line at 16 KiB."""
SECRETS = re.compile(
    r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}|(?<=://)([^\s/:@]*):[^\s/@]+(?=@)|\b(password|secret|token)(\s*[=:]\s*)[^\s,;&]+"
)


class JsonFormatter(logging.Formatter):
    """Control characters (line breaks, terminal escapes) cannot leave a JSON string unescaped."""

    def format(self, record: logging.LogRecord) -> str:
        cause = CAUSE.get()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        if message := record.getMessage():
            line["message"] = conceal(message)
        if service := SERVICE.get():
            line["service"] = service
        if cause.request_id:
            line["request_id"] = cause.request_id
        if cause.fact_id:
            line["fact_id"] = cause.fact_id
        if cause.traceparent:
            line["trace"] = cause.traceparent[3:35]
        if cause.actor:
            line["actor"] = cause.actor
        if (fields := getattr(record, "fields", None)) is not None:
            line.update(fields)
        if record.exc_info:
            line["exception"] = conceal(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def conceal(text: str) -> str:
    """Without what looks like a credential, and not endless."""
    return SECRETS.sub(_mask, text[:LINE_CHARACTERS_MAX])


def _mask(found: re.Match[str]) -> str:
    scheme, user, name, between = found.groups()
    return f"{scheme} ***" if scheme else f"{user}:***" if name is None else f"{name}{between}***"


def set_up_logs(level: str = "INFO", stream: IO[str] | None = None) -> None:
    """All of the process's logs, libraries' too, to this stream (standard error) as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
