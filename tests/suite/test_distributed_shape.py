"""Every service its own process on real servers, behind a real proxy: what is reached through it, and what is not."""

import json
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from .shape import Shape
from .test_up import eventually


def asked(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    """The status, the body and the headers of one answer, wherever it sends us."""
    where = urlsplit(url)
    connection = HTTPConnection(str(where.hostname), where.port, timeout=30)
    try:
        connection.request(method, where.path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def lines_of(log: Path, request_id: str) -> list[dict[str, Any]]:
    """What a log says of one request, which it does when all of the answer has gone."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
        found[:] = [one for one in lines if one.get("request_id") == request_id]
        return bool(found)

    eventually(f"{log.name} tells of {request_id}", look)
    return found


def test_each_service_is_a_process_of_its_own_and_files_and_calendar_have_two_workers(distributed: Shape) -> None:
    names = {"postgres", "kafka", "seaweedfs", "synapse", "directory", "files", "calendar", "messaging", "billing", "portal", "proxy"}
    assert names <= set(distributed.processes)
    assert distributed.is_well()
    pids = [pid for name in names for pid in distributed.pids_of(name)]
    assert len(pids) == len(set(pids))
    assert [len(distributed.pids_of(name)) for name in ("files", "calendar", "billing")] == [3, 3, 1], "two workers and their parent"
    assert len({f"{one}" for name in ("files", "calendar") for one in distributed.processes[name]["metrics"]}) == 4


def test_the_demonstration_is_there(distributed: Shape) -> None:
    demo = json.loads((distributed.folder / "demo.json").read_text())
    assert demo["base_url"] == distributed.base and len(demo["ministries"]) == 3 and len(demo["agents"]) == 40
    agent = demo["agents"][0]
    assert agent["personal_space"] and agent["dav"]["calendar"] and agent["matrix"]["user_id"]
    status, body, _ = asked(f"{distributed.base}/api/files/v1/spaces/personal", Authorization=f"Bearer {agent['token']}")
    assert status == 200 and json.loads(body)["id"] == agent["personal_space"]


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/", "portal"),
        ("GET", "/sign-in", "portal"),
        ("OPTIONS", "/", "calendar"),
        ("PROPFIND", "/", "calendar"),
        ("PROPFIND", "/principals/", "calendar"),
        ("GET", "/.well-known/caldav", "calendar"),
        ("PROPFIND", "/dav/calendars/somebody/", "calendar"),
        ("PROPFIND", "/dav/principals/somebody/", "calendar"),
        ("PROPFIND", "/dav/files/somewhere/", "files"),
        ("GET", "/auth/keys", "directory"),
        ("GET", "/scim/v2/ministry/Users", "directory"),
        ("GET", "/api/directory/openapi.json", "directory"),
        ("GET", "/api/files/openapi.json", "files"),
        ("GET", "/api/calendar/openapi.json", "calendar"),
        ("GET", "/api/messaging/openapi.json", "messaging"),
        ("GET", "/api/billing/openapi.json", "billing"),
        ("GET", "/_matrix/client/versions", "homeserver"),
        ("GET", "/_matrix/media/v3/config", "homeserver"),
        ("GET", "/.well-known/matrix/client", "messaging"),
        ("GET", "/blobs/nothing", "blobs"),
    ],
)
def test_each_prefix_reaches_its_service_with_the_request_s_own_id(distributed: Shape, method: str, path: str, service: str) -> None:
    request_id = f"{method}{path}".replace("{", "")[:60]
    status, _, headers = asked(f"{distributed.base}{path}", method, X_Request_Id=request_id)
    assert status < 500 and headers["X-Request-Id"] == request_id
    [line] = lines_of(proxy_log(distributed), request_id)
    assert (line["upstream"], line["status"], line["method"], line["path"]) == (service, status, method, path)


def proxy_log(distributed: Shape) -> Path:
    return distributed.folder / "servers/haproxy/proxy.log"


def test_a_request_without_an_id_is_given_one_that_the_service_takes_over(distributed: Shape) -> None:
    _, _, headers = asked(f"{distributed.base}/api/files/v1/spaces/personal")
    request_id = headers["X-Request-Id"]
    [outside] = lines_of(proxy_log(distributed), request_id)
    [inside] = lines_of(Path(distributed.processes["files"]["log"]), request_id)
    assert outside["trace"] == inside["trace"] and inside["path"] == "/api/files/v1/spaces/personal"
    assert inside["client"] == "127.0.0.1"


def test_an_id_that_is_none_is_replaced(distributed: Shape) -> None:
    _, _, headers = asked(f"{distributed.base}/livez", X_Request_Id="a b\x7f" * 30, traceparent="00-nonsense")
    assert headers["X-Request-Id"].isalnum() and len(headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    "path",
    [
        "/_matrix/app/v1/transactions/1",
        "/_MATRIX/app/v1/transactions/1",
        "/_matrix/%61pp/v1/transactions/1",
        "//_matrix/app/v1/transactions/1",
        "/_matrix/client/../app/v1/transactions/1",
        "/_matrix/client/%2e%2e/app/v1/transactions/1",
        "/_matrix/client/..%2fapp/v1/transactions/1",
        "/_synapse/admin/v2/users",
        "/_synapse/client/parvis",
        "/_matrix/client/..%2f..%2f_synapse/admin/v2/users",
        "/metrics",
        "/metrics/",
        "/api/files/../../metrics",
    ],
)
def test_the_homeserver_s_own_door_and_the_figures_are_not_reached_through_the_proxy(distributed: Shape, path: str) -> None:
    """As it is written: a client would tidy the dots away."""
    before = len(proxy_log(distributed).read_text().splitlines())
    with socket.create_connection(("127.0.0.1", distributed.port), timeout=30) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.split()[1] in (b"400", b"404") and b"# HELP" not in answer

    def said() -> list[dict[str, Any]]:
        return [json.loads(one) for one in proxy_log(distributed).read_text().splitlines()[before:] if one.startswith("{")]

    eventually("the proxy tells of it", lambda: bool(said()))
    assert {one["upstream"] for one in said()} <= {"public", "portal"}, "messaging and the homeserver have not seen it"


def test_every_process_says_figures_of_itself_and_is_listed_for_prometheus(distributed: Shape) -> None:
    targets = json.loads((distributed.folder / "metrics-targets.json").read_text())
    listed = {one["labels"]["process"]: one["targets"][0] for one in targets}
    ours = {"files-1", "files-2", "calendar-1", "calendar-2", "portal-1", "directory-1", "messaging-1", "billing-1"}
    others = {
        "proxy-1": b"haproxy_process", "prometheus-1": b"prometheus_build_info", "synapse-1": b"synapse_build_info",
        "seaweedfs-1": b"SeaweedFS_build_info", "kafka-1": b"kafka_offlinepartitionscount", "postgres_exporter-1": b"pg_up 1",
    }  # fmt: skip
    assert set(listed) == ours | set(others)
    for process, address in listed.items():
        wanted = others.get(process, b"parvis_build_info")
        assert wanted in asked(f"http://{address}/metrics")[1], process


def test_the_doctor_finds_nothing_wrong(distributed: Shape) -> None:
    command = [sys.executable, "-m", "parvis_suite", "doctor"]
    said = subprocess.run(command, env=distributed.environ, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0 and "WRONG" not in said.stdout, said.stdout + said.stderr
    assert "Kafka answers" in said.stdout
