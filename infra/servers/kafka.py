"""A real Kafka for people at work on Parvis, and for its tests: `python infra/servers/kafka.py --help`."""

import argparse
import contextlib
import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess  # noqa: S404
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recipe import (
    CannotStart,
    a_port,
    cache,
    finish,
    free_port,
    from_apt,
    hand_over,
    hold,
    is_free,
    ready,
    server,
    stoppable,
    told,
    unprivileged,
    workplace,
)

HERE = Path(__file__).resolve().parent
LOCK = HERE / "kafka.lock"
METRICS = HERE.parent / "kafka/metrics.yml"
AGENT = "jmx_prometheus_javaagent"
"""Runs inside the broker and says its figures: infra/kafka/metrics.yml names them."""
ROOTS = (
    "org.apache.kafka:kafka_2.13", "org.apache.logging.log4j:log4j-slf4j-impl", "org.apache.logging.log4j:log4j-core",
    f"io.prometheus.jmx:{AGENT}",
)  # fmt: skip
"""What `kafka.py lock` resolves anew, in the versions that the lock names; everything else in it follows from these."""
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
CLUSTER = "UGFydmlzVGVzdENsdXN0ZQ"
USERNAME = "parvis"
STORE_PASSWORD = "only-for-tests"  # noqa: S105 (of a certificate that is made for one run)
STORE = {"location": "{place}/store.p12", "type": "PKCS12", "password": STORE_PASSWORD}
START_SECONDS_MAX = 90.0
"""Four seconds on a quiet machine; three nodes on a busy one take longer."""
STARTED = b"Kafka Server started"
JAVA = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xlog:disable", "-Xlog:all=error:stderr")
LOGGING = """\
status = error
appender.c.type = Console
appender.c.name = c
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.c.ref = c
logger.ks.name = kafka.server.KafkaRaftServer
logger.ks.level = info
"""
COORDINATE = re.compile(r"^(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+) sha256:(?P<sha256>[0-9a-f]{64})$")


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        if asked.what == "lock":
            lock()
            return
        libraries = from_maven()
        archive(libraries)
        if asked.what == "install":
            print(f"installed {libraries}")
            return
        ports = ports_from(asked.port, asked.brokers)
        with (
            workplace(asked.dir) as place,
            run(libraries, place, ports, options=agent(libraries, place, asked), secure=asked.secure) as processes,
        ):
            ready(
                **(secrets_in(place) if asked.secure else {}),
                bootstrap=",".join(f"127.0.0.1:{port}" for port in ports[: asked.brokers]),
                version=version_of("kafka_2.13"),
                dir=place,
                pid=",".join(str(one.pid) for one in processes),
                seconds=f"{time.monotonic() - began:.1f}",
            )
            if asked.brokers > 1:  # whoever asks for several means to kill some
                hold_until_orphaned(parent)
            hold(processes[0], place / "node-1.log", parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["install", "lock"], help="fetch what is needed, or lock it anew; start nothing")
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=1, help="three replicate to each other, for tests that kill one")
    parser.add_argument("--secure", action="store_true", help="asks its clients for TLS, a certificate and a password (SCRAM-SHA-512)")
    parser.add_argument("--metrics-port", type=a_port, help="where Prometheus scrapes one broker; by default nowhere")
    parser.add_argument("--port", type=a_port, help="of the first broker, the others follow; by default free ones")
    parser.add_argument("--dir", type=Path, help="where it lives, and stays; by default a temporary folder")
    return parser.parse_args()


# installing


def locked() -> list[dict[str, str]]:
    """Every library of the lock: group, artifact, version, sha256."""
    found = [COORDINATE.match(line) for line in LOCK.read_text().splitlines()]
    assert found and all(found), f"{LOCK} has lines `group:artifact:version sha256:…`"  # noqa: S101
    return [one.groupdict() for one in found if one]


def version_of(artifact: str) -> str:
    return next(one["version"] for one in locked() if one["artifact"] == artifact)


def from_maven() -> Path:
    """The folder of libraries that the lock names, fetched by Maven once; each is compared with its checksum."""
    place = cache() / f"kafka-{version_of('kafka_2.13')}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not place.is_dir():
        # Two may install at once: each into a folder of its own, and the first to finish gives it its name.
        with fresh_folder() as fresh:
            resolve(fresh, [f"{one['group']}:{one['artifact']}:{one['version']}" for one in locked()], "copy-dependencies", alone=True)
            compare(fresh)
            with contextlib.suppress(OSError):
                (fresh / "libraries").rename(place)
    return place


def compare(fresh: Path) -> None:
    """Exactly the locked files, with exactly the locked content."""
    expected = {f"{one['artifact']}-{one['version']}.jar": one["sha256"] for one in locked()}
    came = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in (fresh / "libraries").iterdir()}
    if wrong := sorted(name for name in expected.keys() | came.keys() if expected.get(name) != came.get(name)):
        raise CannotStart(f"these are not what {LOCK.name} says: {', '.join(wrong)}")


def resolve(fresh: Path, coordinates: Sequence[str], goal: str, *, alone: bool) -> None:
    """Have Maven do something with these, and with what they need unless they stand alone."""
    ready_java("mvn")
    (fresh / "pom.xml").write_text(pom(coordinates, alone))
    command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", "-f", fresh / "pom.xml", f"{PLUGIN}:{goal}"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={fresh / 'libraries'}", f"-DoutputFile={fresh / 'list'}"]
    finish([*command, *options], fresh / "mvn.log", hint="is Maven Central reachable?")


def pom(coordinates: Sequence[str], alone: bool) -> str:
    nothing_else = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>" if alone else ""
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>".format(*one.split(":"))
        + f"{nothing_else}</dependency>"
        for one in coordinates
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>parvis</groupId>"
        f"<artifactId>broker</artifactId><version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )


def lock() -> None:
    """Write the lock anew: all that ROOTS need, in the versions that they ask for. A new Kafka: change its version in the lock first."""
    versions = {f"{one['group']}:{one['artifact']}": one["version"] for one in locked()}
    roots = [f"{root}:{versions[root]}" for root in ROOTS]
    with fresh_folder() as fresh:
        resolve(fresh, roots, "copy-dependencies", alone=False)
        resolve(fresh, roots, "list", alone=False)
        found = re.findall(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):", (fresh / "list").read_text(), re.MULTILINE)
        LOCK.write_text("".join(sorted(locked_line(fresh, *one) for one in found)))
    print(f"{len(found)} libraries in {LOCK}")


def locked_line(fresh: Path, group: str, artifact: str, version: str) -> str:
    content = (fresh / "libraries" / f"{artifact}-{version}.jar").read_bytes()
    return f"{group}:{artifact}:{version} sha256:{hashlib.sha256(content).hexdigest()}\n"


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    fresh = Path(tempfile.mkdtemp(dir=cache()))
    fresh.chmod(0o755)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def ready_java(*programs: str) -> None:
    """Java, and these; installed when they are missing and we may."""
    if all(map(shutil.which, ("java", *programs))):
        return
    from_apt("Kafka runs on Java 17 or newer and Maven fetches it", "default-jre-headless", "maven")


def archive(libraries: Path) -> None:
    """Kafka's classes as Java wants them in memory, written by one short run: later ones start in half the time. Nothing needs it."""
    if (libraries / "classes.jsa").exists():
        return
    ready_java()
    with fresh_folder() as fresh:
        hand_over(fresh, unprivileged())
        with run(libraries, fresh, ports_from(None, 1), options=[f"-XX:ArchiveClassesAtExit={fresh / 'classes.jsa'}"]):
            pass
        with contextlib.suppress(OSError):
            (fresh / "classes.jsa").rename(libraries / "classes.jsa")


# running


def agent(libraries: Path, place: Path, asked: argparse.Namespace) -> list[str]:
    """The option that has the broker say its figures, where a port for them is asked for."""
    port = asked.metrics_port
    if port is None:
        return []
    if asked.brokers > 1:
        raise CannotStart("--metrics-port is for one broker: each of three would want a port of its own")
    if not is_free(port):
        raise CannotStart(f"port {port} is taken by another process; say another one with --metrics-port, or none")
    # A copy: Kafka runs as nobody, who may not read a checkout in somebody's home.
    shutil.copyfile(METRICS, place / "metrics.yml")
    return [f"-javaagent:{libraries / f'{AGENT}-{version_of(AGENT)}.jar'}=127.0.0.1:{port}:{place / 'metrics.yml'}"]


def ports_from(first: int | None, brokers: int) -> list[int]:
    """One for each broker, then one for each controller, all of them free."""
    found: list[int] = [] if first is None else list(range(first, first + brokers))
    for port in found:
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another process; say another one with --port, or none")
    while len(found) < 2 * brokers:
        port = free_port()
        if port not in found:
            found.append(port)
    return found


@contextlib.contextmanager
def run(
    libraries: Path, place: Path, ports: Sequence[int], *, options: Sequence[str] = (), secure: bool = False
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A node for each pair of ports. `node-N.sh` in its folder starts node N again after somebody has killed it."""
    ready_java()
    owner, brokers = unprivileged(), len(ports) // 2
    place.chmod(0o711)
    (place / "log4j2.properties").write_text(LOGGING)
    more = secured(place) if secure else {}
    with contextlib.ExitStack() as stack:
        processes = []
        for node in range(1, brokers + 1):
            command = prepare(libraries, place, ports, node, options, more)
            if not (place / f"data-{node}" / "meta.properties").exists():
                format_ = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(place / f"node-{node}.properties")]
                if secure:
                    format_ += ["--add-scram", f"SCRAM-SHA-512=[name={USERNAME},password={(place / 'password').read_text()}]"]
                finish([*command[: command.index("kafka.Kafka")], *format_], place / f"format-{node}.log", owner=owner)
            log = place / f"node-{node}.log"
            read_from = log.stat().st_size if log.exists() else 0
            script = place / f"node-{node}.sh"
            script.write_text(f"#!/bin/sh\necho $$ > {place}/node-{node}.pid\nexec {' '.join(command)} >> {log} 2>&1\n")
            script.chmod(0o755)
            (place / f"node-{node}.pid").touch()
            for mine in (log, place / f"node-{node}.pid"):
                mine.touch()
                hand_over(mine, owner)

            def answers(log: Path = log, read_from: int = read_from, last: bool = node == brokers) -> bool:
                return not last or STARTED in log.read_bytes()[read_from:]

            # the first nodes of several wait for the others: whether all of them answer is asked of the last
            processes.append(stack.enter_context(server([script], log, answers=answers, seconds_max=START_SECONDS_MAX, owner=owner)))
        try:
            yield processes
        finally:
            if brokers > 1:
                end_at_once(place, processes)


def end_at_once(place: Path, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Nodes that stop one by one wait for each other; and a node that somebody started again is nobody's child here."""
    pids = {one.pid for one in processes} | {int(file.read_text() or 0) for file in place.glob("node-*.pid")}
    for pid in pids - {0}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def prepare(libraries: Path, place: Path, ports: Sequence[int], node: int, options: Sequence[str], more: Mapping[str, object]) -> list[str]:
    """The folder, the properties, and the command of a node."""
    data = place / f"data-{node}"
    data.mkdir(exist_ok=True)
    hand_over(data, unprivileged())
    properties = place / f"node-{node}.properties"
    wanted = {**properties_of(data, ports, node, "SASL_SSL" if more else "PLAINTEXT"), **more}
    properties.write_text("".join(f"{name}={value}\n" for name, value in wanted.items()))
    jars = ":".join(str(libraries / f"{one['artifact']}-{one['version']}.jar") for one in locked())
    classes = libraries / "classes.jsa"
    shared = [f"-XX:SharedArchiveFile={classes}", "-Xshare:auto"] if classes.exists() else []
    java = ["java", *JAVA, *shared, *options, f"-Dlog4j2.configurationFile={place / 'log4j2.properties'}", "-cp", jars]
    return [*java, "kafka.Kafka", str(properties)]


def secrets_in(place: Path) -> dict[str, Path | str]:
    """Where a client finds what it takes to be let in."""
    return {"username": USERNAME, "password": place / "password", "ca": place / "ca.pem", "store": place / "store.p12"}


def secured(place: Path) -> dict[str, object]:
    """A certificate that nobody but who reads ca.pem trusts, the one that clients must show as well, and a user with a password."""
    password = place / "password"
    if not password.exists():
        password.write_text(secrets.token_urlsafe(24))
        store = ["-keystore", place / "store.p12", "-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-alias", "broker"]
        name = ["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-keyalg", "EC", "-validity", "30"]
        finish(["keytool", "-genkeypair", *store, *name], place / "keytool.log")
        finish(["keytool", "-exportcert", "-rfc", *store, "-file", place / "ca.pem"], place / "keytool.log")
        (place / "store.p12").chmod(0o644)
    login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{USERNAME}" password="{password.read_text()}";'
    store_of = {f"ssl.{kind}.{what}": value for kind in ("keystore", "truststore") for what, value in STORE.items()}
    return {
        "listener.name.sasl_ssl.ssl.client.auth": "required",  # without the listener's name it is not heard beside SASL
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": login,
        **{name: value.format(place=place) for name, value in store_of.items()},
    }


def properties_of(data: Path, ports: Sequence[int], node: int, protocol: str) -> dict[str, object]:
    """A node that is broker and controller, small, and quick to see that another one is dead."""
    brokers = len(ports) // 2
    broker, controllers = ports[node - 1], ports[brokers:]
    replicas, in_sync = brokers, 2 if brokers > 1 else 1
    return {
        "process.roles": "broker,controller",
        "node.id": node,
        "controller.quorum.voters": ",".join(f"{one}@127.0.0.1:{port}" for one, port in enumerate(controllers, 1)),
        "listeners": f"{protocol}://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controllers[node - 1]}",
        "advertised.listeners": f"{protocol}://127.0.0.1:{broker}",
        "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": protocol,
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "controller.quorum.election.timeout.ms": 1000,
        "controller.quorum.fetch.timeout.ms": 2000,
        "log.cleaner.backoff.ms": 500,
        "log.cleaner.dedupe.buffer.size": 2 * 2**20,
        "log.cleaner.threads": 1,
        "log.index.size.max.bytes": 2**20,
        "log.segment.bytes": 64 * 2**20,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
    }


def hold_until_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.05)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
