"""What a log line may hold, and what it may not."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from parvis_kit.context import CAUSE, Cause
from parvis_kit.logs import SERVICE, conceal, set_up_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    found = io.StringIO()
    set_up_logs("INFO", found)
    yield found
    logging.captureWarnings(False)
    root.handlers[:], root.level = before


def last(stream: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return line


def test_a_line_names_the_request_the_fact_the_trace_and_the_actor(stream: io.StringIO) -> None:
    service = SERVICE.set("files")
    cause = CAUSE.set(Cause("r-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "agent-7", "f-1"))
    logging.getLogger("parvis.files").warning("%s files", 3)
    CAUSE.reset(cause)
    SERVICE.reset(service)
    assert last(stream) | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "parvis.files",
        "message": "3 files",
        "service": "files",
        "request_id": "r-1",
        "fact_id": "f-1",
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "actor": "agent-7",
    }


def test_nobody_writes_a_second_line_or_paints_the_terminal(stream: io.StringIO) -> None:
    logging.getLogger("parvis").error("a\r\nlevel=ERROR \x1b[31mb\x9b2J\u2028c")
    assert len(stream.getvalue().split("\n")) == 2
    assert stream.getvalue().isascii() and "\x1b" not in stream.getvalue()
    assert last(stream)["message"] == "a\r\nlevel=ERROR \x1b[31mb\x9b2J\u2028c"


def test_an_exception_is_one_line_with_its_traceback(stream: io.StringIO) -> None:
    try:
        raise ZeroDivisionError("postgresql://parvis:hunter2@host/db")
    except ZeroDivisionError:
        logging.getLogger("parvis").exception("failed")
    assert "test_logs.py" in last(stream)["exception"]
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer hunter2hunter2",
        "authorization: basic aHVudGVyMjpodW50ZXIy",
        "postgresql://parvis:hunter2@localhost/parvis",
        "password=hunter2&name=a",
        "token: hunter2",
        "secret = hunter2",
    ],
)
def test_what_looks_like_a_credential_is_not_written(said: str) -> None:
    assert "hunter2" not in conceal(said) and "aHVudGVy" not in conceal(said)
    assert "***" in conceal(said)


def test_a_line_has_an_end(stream: io.StringIO) -> None:
    logging.getLogger("parvis").info("a" * 10**6)
    assert len(stream.getvalue()) < 20_000


def test_libraries_log_in_the_same_way(stream: io.StringIO) -> None:
    import warnings

    warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert last(stream)["logger"] == "py.warnings"
