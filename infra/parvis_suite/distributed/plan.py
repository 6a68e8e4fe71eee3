"""What runs in the distributed shape: which processes there are, where each listens, and what each is told."""

import json
import os
import random
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from parvis_messaging.homeserver import registration

from parvis_suite.plainly import Refusal
from parvis_suite.services import BUILDERS, WITHOUT_TABLES

PORTS = "20000-31999"
"""As the starters of infra/servers take theirs, `SERVERS_PORTS` or these: below 32768, where no outgoing connection takes a port."""
WORKERS = {"files": 2, "calendar": 2}
"""How many processes share a service's port; one where nothing is said."""
BUCKET = "blobs"
"""So that the blob store is reached at /blobs/… as in every shape."""
PARTITIONS = 12
SCRAPE_SECONDS = 5
"""So that whoever starts it sees curves within a minute."""
TARGETS_FILE = "metrics-targets.json"
SERVER_NAME = "127.0.0.1"
"""What Matrix ids end in; the same whatever the port is."""
TRUSTED = "127.0.0.0/8"
SERVERS = Path("infra/servers")


@dataclass(frozen=True, slots=True)
class Program:
    """One command that is to run."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    """Beside the installation's own."""
    port: int = 0
    metrics: Sequence[str] = ()
    """HOST:PORT of each process that says figures of itself."""
    is_server: bool = False
    """A starter of infra/servers: it is ready when it says so, and says which process it has started."""
    fds: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one installation on this machine."""

    root: Path
    """The checkout, whose starters are used."""
    folder: Path
    port: int
    ports: Mapping[str, int]
    kafka: bool = True
    """Otherwise the facts go through the database."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def registration(self) -> Path:
        """By which Synapse and messaging know each other."""
        return self.folder / "registration.json"

    @property
    def metrics_password(self) -> Path:
        """Of the role under which PostgreSQL's exporter looks."""
        return self.folder / "metrics-password"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def environment(self) -> dict[str, str]:
        """What all processes of the installation are told, and whoever runs `parvis` beside them."""
        at = self.ports
        kafka = {
            "PARVIS_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{at['kafka']}",
            "PARVIS_KAFKA_REPLICATION_FACTOR": "1",
            "PARVIS_KAFKA_PARTITIONS": str(PARTITIONS),
        }
        return {
            "PARVIS_DATA": str(self.folder),
            "PARVIS_PUBLIC_URL": self.base_url,
            "PARVIS_TRUSTED_PROXIES": json.dumps([TRUSTED]),
            "PARVIS_DATABASE_URL": f"postgresql://127.0.0.1:{at['postgres']}/postgres",
            "PARVIS_DATABASE_PASSWORD_FILE": str(self.folder / "database-password"),
            "PARVIS_DATABASE_METRICS_PASSWORD_FILE": str(self.metrics_password),
            "PARVIS_DATABASE_ADMIN_URL": f"postgresql://postgres@127.0.0.1:{at['postgres']}/postgres",
            "PARVIS_FILES_BLOBS_URL": f"http://parvis@127.0.0.1:{at['seaweedfs']}/{BUCKET}",
            "PARVIS_FILES_BLOBS_SECRET_FILE": str(self.folder / "blobs-secret"),
            "PARVIS_FILES_BLOBS_PUBLIC": self.base_url,
            "PARVIS_MESSAGING_HOMESERVER_URL": f"http://127.0.0.1:{at['synapse']}",
            "PARVIS_MESSAGING_REGISTRATION_FILE": str(self.registration),
            "PARVIS_MESSAGING_SERVER_NAME": SERVER_NAME,
            # through the proxy, which waits for a service that is started again
            "PARVIS_PORTAL_SERVICES": json.dumps(dict.fromkeys(BUILDERS, self.base_url)),
            "PARVIS_DIRECTORY_LOCAL_SIGN_IN": "true",
            **(kafka if self.kafka else {}),
        }

    def servers(self) -> list[Program]:
        """What the services need."""
        kafka = [self.observed("kafka")] if self.kafka else []
        return [
            self.starter("postgres", "--port", str(self.ports["postgres"]), "--connections", "300"),
            self.observed("seaweedfs"),
            self.observed("synapse", "--server-name", SERVER_NAME, "--registration", str(self.registration)),
            *kafka,
        ]

    def observed(self, name: str, *arguments: str) -> Program:
        """A server that says figures of itself, on a port of its own."""
        metrics = self.ports[f"{name}.metrics"]
        made = self.starter(name, "--port", str(self.ports[name]), "--metrics-port", str(metrics), *arguments)
        return replace(made, metrics=[f"127.0.0.1:{metrics}"])

    def services(self) -> list[Program]:
        return [self.service(name) for name in (*BUILDERS, *WITHOUT_TABLES)]

    def service(self, name: str) -> Program:
        workers, first = WORKERS.get(name, 1), self.ports[f"{name}.metrics"]
        return Program(
            name,
            [sys.executable, "-m", "parvis_suite", "serve", name, "--workers", str(workers)],
            {"PARVIS_PORT": str(self.ports[name]), "PARVIS_METRICS_PORT": str(first)},
            self.ports[name],
            [f"127.0.0.1:{first + number}" for number in range(workers)],
        )

    def proxy(self, fd: int) -> Program:
        """`fd`: the socket where agents come in, which outlives it."""
        where = {name: self.ports[name] for name in (*BUILDERS, *WITHOUT_TABLES)}
        where |= {"homeserver": self.ports["synapse"], "blobs": self.ports["seaweedfs"]}
        upstreams = [part for name, port in where.items() for part in ("--upstream", f"{name}=127.0.0.1:{port}")]
        metrics = self.ports["proxy.metrics"]
        # the portal asks through it, on behalf of agents
        named = ["--port", str(self.port), "--fd", str(fd), "--metrics-port", str(metrics), "--trusted", TRUSTED, *upstreams]
        made = self.starter("haproxy", *named)
        return Program("proxy", made.command, port=self.port, metrics=[f"127.0.0.1:{metrics}"], is_server=True, fds=[fd])

    def postgres_exporter(self) -> Program:
        """When there is the role that it takes."""
        port = self.ports["postgres_exporter"]
        where = ("--database", f"127.0.0.1:{self.ports['postgres']}/postgres", "--password-file", str(self.metrics_password))
        return replace(self.starter("postgres_exporter", "--port", str(port), *where), metrics=[f"127.0.0.1:{port}"])

    def prometheus(self) -> Program:
        """It reads who there is from a file that the supervisor keeps."""
        port, alerts = self.ports["prometheus"], self.ports["alertmanager"]
        targets = ("--targets", str(self.folder / TARGETS_FILE), "--interval", f"{SCRAPE_SECONDS}s")
        made = self.starter("prometheus", "--port", str(port), "--alertmanager-port", str(alerts), *targets)
        return Program("prometheus", made.command, port=port, metrics=[f"127.0.0.1:{port}"], is_server=True)

    def starter(self, name: str, *arguments: str) -> Program:
        command = [sys.executable, str(self.root / SERVERS / f"{name}.py"), "--dir", str(self.folder / "servers" / name), *arguments]
        return Program(name, command, port=self.ports.get(name, 0), is_server=True)


def new_plan(root: Path, folder: Path, port: int, *, kafka: bool = True) -> Plan:
    """Every port chosen, and the secrets made where there are none."""
    servers = ["postgres", "seaweedfs", "seaweedfs.metrics", "synapse", "synapse.metrics", "kafka", "kafka.metrics", "proxy.metrics"]
    wanted = [*servers, "postgres_exporter", "prometheus", "alertmanager", *BUILDERS, *WITHOUT_TABLES]
    ports = dict(zip(wanted, free_ports(len(wanted)), strict=True))
    for name in (*BUILDERS, *WITHOUT_TABLES):
        ports[f"{name}.metrics"] = free_ports(1, WORKERS.get(name, 1), tuple(ports.values()))[0]
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "servers").mkdir(exist_ok=True)
    passwords = {name: secrets.token_urlsafe(24) for name in ("database-password", "metrics-password")}
    for name, secret in (passwords | {"blobs-secret": "parvis-secret"}).items():
        if not (folder / name).exists():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(secret)
    made = Plan(root, folder, port, ports, kafka)
    made.registration.unlink(missing_ok=True)  # messaging listens elsewhere each time, and new tokens cost nothing
    registration.write(made.registration, registration.made(SERVER_NAME, f"http://127.0.0.1:{ports['messaging']}"))
    return made


def free_ports(count: int, row: int = 1, taken: Sequence[int] = ()) -> list[int]:
    """The first of `row` free ones that follow each other, `count` times."""
    found: list[int] = []
    used = set(taken)
    among = allowed_ports()
    for port in random.sample(among, min(2000, len(among))):  # (several start at once; which ports matters to nobody)
        wanted = range(port, port + row)
        if len(found) < count and not used & set(wanted) and all(map(is_free, wanted)):
            found.append(port)
            used |= set(wanted)
    if len(found) < count:
        raise Refusal(f"no free ports between {among[0]} and {among[-1]}: say others, as SERVERS_PORTS={PORTS}")
    return found


def allowed_ports() -> range:
    """Raises Refusal."""
    said = os.environ.get("SERVERS_PORTS", PORTS)
    first, _, last = said.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) < int(last) <= 65_535):
        raise Refusal(f"SERVERS_PORTS={said}: it takes the first and the last, as {PORTS}")
    return range(int(first), int(last) + 1)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def inherited() -> dict[str, str]:
    """The environment without what somebody set for another Parvis."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARVIS_")}
