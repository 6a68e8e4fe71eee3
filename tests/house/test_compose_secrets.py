"""What make-secrets.sh writes is what compose takes, and messaging and Synapse are told the same of each other."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from parvis_messaging.homeserver import registration

from .conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SYNAPSE = COMPOSE["services"]["synapse"]


def make(place: Path, name: str = "") -> "subprocess.CompletedProcess[str]":
    """In a checkout of its own: the script goes where it lies."""
    script = place / "infra/compose/make-secrets.sh"
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "infra/compose/make-secrets.sh", script)
    environ = os.environ | ({"PARVIS_MESSAGING_SERVER_NAME": name} if name else {})
    return subprocess.run(["sh", str(script)], env=environ, capture_output=True, text=True, timeout=60, check=False)


def held(place: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in (place / "secrets").iterdir()}


@pytest.fixture
def made(tmp_path: Path) -> dict[str, str]:
    said = make(tmp_path)
    assert said.returncode == 0, said.stderr
    return held(tmp_path)


def test_they_are_those_that_are_taken_and_every_container_can_read_them(made: dict[str, str], tmp_path: Path) -> None:
    assert set(made) == set(COMPOSE["secrets"]) and all(made.values())
    assert {one["file"] for one in COMPOSE["secrets"].values()} == {f"./secrets/{name}" for name in made}
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "secrets").iterdir()} == {0o444}
    known, told = json.loads(made["registration.json"]), yaml.safe_load(made["synapse.yaml"])
    drawn = [made[name] for name in made if name.endswith("-password") or name == "blobs-secret"]
    drawn += [known["as_token"], known["hs_token"], told["macaroon_secret_key"], told["form_secret"]]
    assert len(drawn) == len(set(drawn)) == 10 and min(map(len, drawn)) >= 32
    assert made["blobs-secret"] in made["s3.json"] and told["database"]["args"]["password"] == made["synapse-password"]


def test_again_they_stay_and_what_is_missing_is_added(made: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secrets/registration.json").unlink()
    assert make(tmp_path).returncode == 0
    again = held(tmp_path)
    assert json.loads(again.pop("registration.json")) != json.loads(made.pop("registration.json"))
    assert again == made


@pytest.mark.parametrize("name", ["localhost", "parvis.interieur.gouv.fr", "a-b.example.org:8448"])
def test_the_registration_is_as_messaging_makes_it(tmp_path: Path, name: str) -> None:
    assert make(tmp_path, name).returncode == 0
    path = tmp_path / "secrets/registration.json"
    read = registration.read(path)
    tokens = {"as_token": read.as_token, "hs_token": read.hs_token}
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in tokens.values())
    assert json.loads(path.read_text()) == registration.made(name, "http://messaging:8080") | tokens
    assert yaml.safe_load((tmp_path / "secrets/synapse.yaml").read_text())["server_name"] == name


@pytest.mark.parametrize("name", ["parvis.example.org", "a b", 'x"y', "$(id)"])
def test_another_name_or_one_that_is_none_is_refused(made: dict[str, str], tmp_path: Path, name: str) -> None:
    said = make(tmp_path, name)
    assert said.returncode == 2 and name in said.stderr
    assert held(tmp_path) == made


def test_messaging_and_synapse_are_told_the_same(made: dict[str, str]) -> None:
    told = COMPOSE["services"]["messaging"]["environment"]
    [listener, metrics] = yaml.safe_load(made["synapse.yaml"])["listeners"]
    assert told["PARVIS_MESSAGING_HOMESERVER_URL"] == f"http://synapse:{listener['port']}"
    assert COMPOSE["services"]["proxy"]["environment"]["PROXY_HOMESERVER"] == f"synapse:{listener['port']}"
    assert f":{listener['port']}/health" in str(SYNAPSE["healthcheck"]["test"])
    assert f"synapse:{metrics['port']}" in (ROOT / "infra/compose/targets.json").read_text() and metrics["type"] == "metrics"


def test_synapse_finds_every_file_that_it_is_told_of(made: dict[str, str]) -> None:
    secrets = {f"/run/secrets/{one}" for one in SYNAPSE["secrets"]}
    mounts = [mount.split(":")[:2] for mount in SYNAPSE["volumes"]]
    for path in re.findall(r"(?<![\w:/])/[\w./-]+", made["synapse.yaml"] + " ".join(SYNAPSE["entrypoint"])):
        inside = [ROOT / source / path[len(target) + 1 :] for source, target in mounts if f"{path}/".startswith(f"{target}/")]
        assert path in secrets or (inside and (path == "/matrix-media" or inside[0].is_file())), path
    assert "/matrix-media" in (ROOT / "Dockerfile").read_text() and "media:/matrix-media" in COMPOSE["services"]["migrate"]["volumes"]
