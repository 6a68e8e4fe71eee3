"""The real servers start from one command, stop when told, and never outlive whoever started them."""

import asyncio
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from parvis_kit.events.ports import Gone
from parvis_kit.testing.databases import PostgresServer
from parvis_kit.testing.kafka import KafkaServer, make_topics, put, records_of
from parvis_kit.testing.plugin import missing
from parvis_kit.testing.servers import ServerMissing, alive, started
from parvis_suite.distributed.plan import free_ports

from ..conftest import free_port

SOURCES = pytest.mark.parametrize("source", ["pypi", "debian"])
WAIT_SECONDS_MAX = 15.0


@pytest.fixture
def installed(source: str, postgres_servers: Callable[[str], PostgresServer]) -> None:
    """Skips, or fails under CI=true, where this server cannot be had."""
    postgres_servers("postgresql" if source == "pypi" else "debian")


@SOURCES
@pytest.mark.usefixtures("installed")
async def test_postgresql_answers_and_leaves_nothing_behind(postgres_script: Path, source: str) -> None:
    with started(postgres_script, "--source", source) as said:
        connection = await asyncpg.connect(said["url"])
        assert str(await connection.fetchval("SHOW server_version")).startswith(said["version"])
        await connection.close()
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))


@SOURCES
@pytest.mark.usefixtures("installed")
async def test_postgresql_does_not_outlive_a_starter_that_was_killed(postgres_script: Path, source: str, open_folder: Path) -> None:
    command = [sys.executable, str(postgres_script), "--source", source, "--dir", str(open_folder / "server")]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    said = dict(part.split("=", 1) for part in starter.stdout.readline().split()[1:])
    starter.kill()
    starter.wait()
    starter.stdout.close()
    await until_gone(int(said["pid"]))


async def test_kafka_answers_and_leaves_nothing_behind(kafka_script: Path, kafka: KafkaServer) -> None:
    with started(kafka_script) as said:
        settings = KafkaServer(said["bootstrap"]).settings()
        await make_topics(settings, ["parvis.some.thing"])
        await put(settings, "parvis.some.thing", b"k", b"v")
        [record] = await records_of(settings, "parvis.some.thing")
        assert (record.key, record.value) == (b"k", b"v")
        assert said["version"].startswith("4.")
        assert all(int(address.rpartition(":")[2]) < 32768 for address in said["bootstrap"].split(","))
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))


async def test_kafka_does_not_outlive_a_starter_that_was_killed(kafka_script: Path, kafka: KafkaServer, open_folder: Path) -> None:
    starter = subprocess.Popen([sys.executable, str(kafka_script), "--dir", str(open_folder / "server")], stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    said = dict(part.split("=", 1) for part in starter.stdout.readline().split()[1:])
    starter.kill()
    starter.wait()
    starter.stdout.close()
    await until_gone(int(said["pid"]))


def test_kafka_keeps_its_data_in_a_named_folder(kafka_script: Path, kafka: KafkaServer, open_folder: Path) -> None:
    place = open_folder / "server"
    settings = KafkaServer("").settings()
    with started(kafka_script, "--dir", str(place)) as said:
        first = settings.model_copy(update={"kafka_bootstrap_servers": said["bootstrap"]})
        asyncio.run(make_topics(first, ["parvis.some.thing"]))
        asyncio.run(put(first, "parvis.some.thing", b"k", b"v"))
    with started(kafka_script, "--dir", str(place)) as said:
        again = settings.model_copy(update={"kafka_bootstrap_servers": said["bootstrap"]})
        assert [record.value for record in asyncio.run(records_of(again, "parvis.some.thing"))] == [b"v"]


async def test_kafka_asks_for_a_certificate_and_a_password_and_parvis_gives_both(
    kafka_script: Path, kafka: KafkaServer, tmp_path: Path
) -> None:
    with started(kafka_script, "--secure") as said:
        shown = certificate_of(Path(said["store"]), tmp_path)
        known = {"kafka_security_protocol": "SASL_SSL", "kafka_username": said["username"], "kafka_ca_file": Path(said["ca"]), **shown}
        password = {"kafka_password_file": Path(said["password"])}
        settings = KafkaServer(said["bootstrap"]).settings().model_copy(update={**known, **password})
        await make_topics(settings, ["parvis.some.thing"])
        await put(settings, "parvis.some.thing", b"k", b"v")
        assert [record.value for record in await records_of(settings, "parvis.some.thing")] == [b"v"]
        (tmp_path / "wrong").write_text("hunter2")
        nothing_shown = dict.fromkeys(shown)
        wrong = {"kafka_password_file": tmp_path / "wrong"}
        for strange in (wrong, {"kafka_ca_file": None}, {"kafka_security_protocol": "PLAINTEXT"}, nothing_shown):
            with pytest.raises(Gone, match="does not answer"):
                await make_topics(KafkaServer(said["bootstrap"]).settings().model_copy(update={**known, **password, **strange}), ["t"])


def certificate_of(store: Path, folder: Path) -> dict[str, Path]:
    """The settings by which what this key store holds is shown."""
    key, certificate, _ = pkcs12.load_key_and_certificates(store.read_bytes(), b"only-for-tests")
    assert key is not None and certificate is not None
    shown = {"kafka_certificate_file": folder / "client.pem", "kafka_key_file": folder / "client.key"}
    shown["kafka_certificate_file"].write_bytes(certificate.public_bytes(Encoding.PEM))
    shown["kafka_key_file"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return shown


UPSTREAMS = ("directory", "files", "calendar", "messaging", "billing", "portal", "homeserver", "blobs")


def test_the_proxy_answers_says_who_is_away_and_leaves_nothing_behind(haproxy_script: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens: refused, and tried again for as long as a client waits
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        options = [part for name in UPSTREAMS for part in ("--upstream", f"{name}={nowhere}")]
        try:
            with started(haproxy_script, *options) as said:
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"{said['url']}/metrics", timeout=5)
                with urllib.request.urlopen(said["metrics"], timeout=5) as figures:
                    assert b"haproxy_process_nbthread" in figures.read()
                with pytest.raises(TimeoutError):
                    urllib.request.urlopen(f"{said['url']}/api/files/v1/spaces", timeout=1.5)
        except ServerMissing as reason:
            missing("HAProxy", str(reason))
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))


class Told(BaseHTTPRequestHandler):
    """Answers with what it was told of who asks, and how."""

    def do_GET(self) -> None:
        told = {name: self.headers.get_all(f"X-Forwarded-{name}") for name in ("For", "Proto")}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstreams() -> Iterator[list[str]]:
    """One server for all of them, as the proxy is told of it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield [part for name in UPSTREAMS for part in ("--upstream", f"{name}=127.0.0.1:{server.server_port}")]
        server.shutdown()


@pytest.mark.parametrize(
    ("trusted", "said_by_caller", "passed_on"),
    [
        ([], {"For": "198.51.100.9", "Proto": "https"}, {"For": ["127.0.0.1"], "Proto": ["http"]}),
        (["192.0.2.0/24"], {"For": "198.51.100.9", "Proto": "https"}, {"For": ["127.0.0.1"], "Proto": ["http"]}),
        (
            ["192.0.2.0/24", "127.0.0.0/8"],
            {"For": "198.51.100.9", "Proto": "https"},
            {"For": ["198.51.100.9", "127.0.0.1"], "Proto": ["https"]},
        ),
        (["127.0.0.0/8"], {"For": "198.51.100.9"}, {"For": ["198.51.100.9", "127.0.0.1"], "Proto": ["http"]}),
    ],
    ids=["nobody is trusted", "another network is", "the caller is", "the caller is, and says half"],
)
def test_the_proxy_says_for_whom_it_asks_and_takes_nobody_s_word_but_a_proxy_s(
    haproxy_script: Path, upstreams: list[str], trusted: list[str], said_by_caller: dict[str, str], passed_on: dict[str, list[str]]
) -> None:
    options = [*upstreams, *(part for one in trusted for part in ("--trusted", one))]
    try:
        with started(haproxy_script, *options) as said:
            headers = {f"X-Forwarded-{name}": value for name, value in said_by_caller.items()}
            for path in ("/_matrix/client/versions", "/api/files/v1/spaces", "/"):
                with urllib.request.urlopen(urllib.request.Request(f"{said['url']}{path}", headers=headers), timeout=10) as answer:
                    assert json.load(answer) == passed_on
    except ServerMissing as reason:
        missing("HAProxy", str(reason))


async def test_the_proxy_does_not_outlive_a_starter_that_was_killed(haproxy_script: Path, open_folder: Path) -> None:
    command = [sys.executable, str(haproxy_script), "--dir", str(open_folder / "proxy")]
    command += [part for name in UPSTREAMS for part in ("--upstream", f"{name}=127.0.0.1:1")]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    said = dict(part.split("=", 1) for part in starter.stdout.readline().split()[1:])
    starter.kill()
    starter.wait()
    starter.stdout.close()
    if not said:
        missing("HAProxy", "it did not start")
    await until_gone(int(said["pid"]))


def test_a_library_that_is_not_what_the_lock_says_is_refused(kafka_script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(kafka_script.parent)
    starter = runpy.run_path(str(kafka_script))
    (tmp_path / "libraries").mkdir()
    for one in starter["locked"]():
        (tmp_path / "libraries" / f"{one['artifact']}-{one['version']}.jar").write_text("somebody else's")
    with pytest.raises(starter["CannotStart"], match="these are not what kafka.lock says: HdrHistogram"):
        starter["compare"](tmp_path)


async def test_a_starter_does_not_outlive_its_parent(postgres_script: Path, postgres: PostgresServer) -> None:
    code = "import os, subprocess, sys; subprocess.Popen([sys.executable, sys.argv[1]]); os.read(0, 1)"
    parent = subprocess.Popen([sys.executable, "-c", code, str(postgres_script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin and parent.stdout
    said = dict(part.split("=", 1) for part in parent.stdout.readline().split()[1:])
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    await until_gone(int(said["pid"]))
    assert parent.stdout.read() == ""  # the starter has closed its end: it is gone, and has cleaned up
    assert not Path(said["dir"]).exists()


def test_a_port_that_is_taken_is_refused_by_name(postgres_script: Path, postgres: PostgresServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerMissing, match=f"port {port} is taken"), started(postgres_script, "--port", str(port)):
            pass


@pytest.mark.parametrize("port", ["99999", "0", "x"])
@pytest.mark.parametrize("server", ["postgres", "kafka", "seaweedfs"])
def test_what_is_no_port_is_refused_in_a_line(postgres_script: Path, server: str, port: str) -> None:
    command = [sys.executable, postgres_script.with_name(f"{server}.py"), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.endswith(f"error: argument --port: {port} is no port: 1 to 65535\n")


def test_a_named_folder_keeps_its_data(postgres_script: Path, postgres: PostgresServer, open_folder: Path) -> None:
    place = open_folder / "server"

    async def remembered(url: str, statement: str) -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    with started(postgres_script, "--durable", "--dir", str(place)) as said:
        asyncio.run(remembered(said["url"], "CREATE TABLE kept AS SELECT 7 AS seven"))
    with started(postgres_script, "--durable", "--dir", str(place)) as said:
        assert asyncio.run(remembered(said["url"], "SELECT seven FROM kept")) == 7


async def test_s3_answers_and_leaves_nothing_behind(s3_script: Path, s3: dict[str, str], tmp_path: Path) -> None:
    with started(s3_script) as said:
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(urllib.request.urlopen, f"{said['endpoint']}/bucket", timeout=5)
        assert refused.value.code == 403, "it asks who is there"
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))
    starter = subprocess.Popen([sys.executable, str(s3_script), "--dir", str(tmp_path / "s3")], stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    said = dict(part.split("=", 1) for part in starter.stdout.readline().split()[1:])
    starter.kill()
    starter.wait()
    starter.stdout.close()
    await until_gone(int(said["pid"]))


async def test_prometheus_answers_and_leaves_nothing_behind(prometheus_script: Path) -> None:
    try:
        with started(prometheus_script, "--target", "nobody=127.0.0.1:9") as said:
            for server in ("url", "alertmanager"):
                answer = await asyncio.to_thread(urllib.request.urlopen, f"{said[server]}/-/ready", timeout=5)
                assert answer.status == 200
                answer.close()
    except ServerMissing as reason:
        missing("Prometheus", str(reason))
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))


async def test_postgresql_s_exporter_tells_whether_it_answers_and_leaves_nothing_behind(postgres_script: Path, open_folder: Path) -> None:
    """Which outlives what it looks at: whoever is woken wants to read that it is away."""
    exporter_script = postgres_script.with_name("postgres_exporter.py")
    try:
        with started(postgres_script, "--dir", str(open_folder / "server")) as database:
            where = database["url"].partition("@")[2]
            with started(exporter_script, "--database", where, "--user", "postgres") as said:
                figures = await asyncio.to_thread(read, said["url"])
                assert "\npg_up 1\n" in figures and f'pg_settings_max_connections{{server="{where.partition("/")[0]}"}}' in figures
                os.kill(int(database["pid"]), signal.SIGQUIT)
                await until_gone(int(database["pid"]))
                assert "\npg_up 0\n" in await asyncio.to_thread(read, said["url"])
    except ServerMissing as reason:
        missing("PostgreSQL's exporter", str(reason))
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_kafka_says_its_figures_from_a_checkout_that_nobody_else_may_read(kafka_script: Path, kafka: KafkaServer, tmp_path: Path) -> None:
    """As root's home is: the broker runs as nobody."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in ("servers", "kafka"):
        shutil.copytree(kafka_script.parents[1] / folder, closed / folder)
    port = free_port()
    with started(closed / "servers/kafka.py", "--metrics-port", str(port)):
        assert "\nkafka_offlinepartitionscount 0.0\n" in read(f"http://127.0.0.1:{port}/metrics")


@pytest.mark.parametrize(
    "server, arguments, words",
    [
        ("postgres_exporter", [], "say which database, as --database 127.0.0.1:5432/postgres"),
        ("kafka", ["--brokers", "3", "--metrics-port", "29999"], "--metrics-port is for one broker"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(postgres_script: Path, server: str, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, postgres_script.with_name(f"{server}.py"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and words in done.stderr


def test_a_server_of_many_ports_takes_each_once(s3_script: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dozen it needs eight: when one was given twice, it did not start."""
    [first] = free_ports(1, 12)
    monkeypatch.setenv("SERVERS_PORTS", f"{first}-{first + 11}")
    with started(s3_script) as said:
        assert first <= int(said["endpoint"].rpartition(":")[2]) <= first + 11


@pytest.mark.parametrize("ports", ["abc", "20000", "24000-20000", "80-90"])
def test_ports_that_are_none_are_refused_in_a_line(postgres_script: Path, ports: str, tmp_path: Path) -> None:
    """By a starter, and by what starts them all."""
    supervise = [sys.executable, "-m", "parvis_suite.distributed", "supervise", "--data", str(tmp_path), "--port", "28080"]
    environ = {**os.environ, "SERVERS_PORTS": ports, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for command in ([sys.executable, str(postgres_script)], supervise):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        wanted = f"SERVERS_PORTS={ports}: it takes the first and the last, as 20000-31999"
        assert done.returncode and done.stderr.strip().endswith(wanted) and "Traceback" not in done.stderr, done.stderr


def test_synapse_answers_and_leaves_nothing_behind(synapse_script: Path) -> None:
    try:
        with started(synapse_script, "--server-name", "parvis.test") as said:
            with urllib.request.urlopen(f"{said['url']}/_matrix/client/versions", timeout=5) as answer:
                assert "versions" in json.loads(answer.read())
            assert said["server_name"] == "parvis.test"
    except ServerMissing as reason:
        missing("Synapse", str(reason))
    assert not Path(said["dir"]).exists()
    assert not alive(int(said["pid"]))


async def test_synapse_does_not_outlive_a_starter_that_was_killed(synapse_script: Path, synapse: object, open_folder: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, str(synapse_script), "--dir", str(open_folder / "server")], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout
    said = dict(part.split("=", 1) for part in starter.stdout.readline().split()[1:])
    starter.kill()
    starter.wait()
    starter.stdout.close()
    await until_gone(int(said["pid"]))


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while alive(pid):
            await asyncio.sleep(0.05)
