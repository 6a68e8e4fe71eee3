"""What is really broken is named by the doctor, with what to do; and what it says to do is enough."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from parvis_files.blobs.s3 import Place as Bucket
from parvis_files.blobs.s3 import S3Store
from parvis_files.blobs.signing import Signer
from parvis_kit.clock import utc_now
from parvis_kit.testing.databases import Place
from parvis_suite import doctor
from parvis_suite.cli import main


@dataclass
class Installation:
    """All services, as an operator has them."""

    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(main, arguments, prog_name="parvis", env={**self.environ, **environ})

    def wrong(self, **environ: str) -> list[str]:
        """What the doctor finds wrong."""
        found = self("doctor", **environ)
        lines = [line.removeprefix("WRONG ") for line in found.output.splitlines() if line.startswith("WRONG ")]
        assert found.exit_code == bool(lines) and isinstance(found.exception, SystemExit | None), (found.output, found.exception)
        return lines


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """On SQLite."""
    made = Installation({"PARVIS_DATA": str(tmp_path / "data"), "PARVIS_PORT": "0"})
    (tmp_path / "data/blobs").mkdir(parents=True)  # as the first start does
    assert made("migrate").exit_code == 0
    assert made.wrong() == []
    return made


def test_a_full_disk_is_named(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 2**29})())
    assert installation.wrong() == ["0 GiB are free there: make room: below 1 GiB uploads will soon be refused"]


def test_a_certificate_that_will_soon_end_is_named_and_told_to_prometheus(installation: Installation, tmp_path: Path) -> None:
    from parvis_kit.certificates import ends_of
    from parvis_kit.settings import Platform

    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate(ends + timedelta(days=300)) + certificate(ends))
    assert installation.wrong(PARVIS_KAFKA_CA_FILE=str(file)) == [
        f"the certificate kafka-ca counts until {ends:%Y-%m-%d}: renew it: nobody who checks it will connect after that"
    ]
    assert asyncio.run(ends_of(Platform(kafka_ca_file=file))) == {"kafka-ca": ends}, "the nearest of them"
    [said] = installation.wrong(PARVIS_KAFKA_CA_FILE=str(tmp_path / "nowhere.pem"))
    assert "nowhere.pem" in said and "PARVIS_KAFKA_CA_FILE" in said


def certificate(ends: datetime) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca.example.org")])
    begun = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = begun.not_valid_before(ends - timedelta(days=400)).not_valid_after(ends).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_privileges_versions_and_clocks_are_named_and_migrate_mends_what_it_can(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place.url_of("")
    (tmp_path / "data/blobs").mkdir(parents=True)
    made = Installation({"PARVIS_DATA": str(tmp_path / "data"), "PARVIS_PORT": "0", "PARVIS_DATABASE_URL": url})
    first = made.wrong()  # roles belong to the whole server: other tests may have left some
    known = [one for one in first if "PARVIS_DATABASE_URL" in one or "run `parvis migrate`" in one]
    assert {one.partition(":")[0] for one in known} == {"directory", "files", "calendar", "messaging", "billing"}, first
    made("migrate")
    assert made.wrong() == []

    asyncio.run(execute(url, "REVOKE SELECT ON directory.log FROM parvis_files"))
    [said] = made.wrong()
    assert said.startswith("files: the log can be read: ") and said.endswith("`parvis migrate` makes the grants")
    made("migrate")
    assert made.wrong() == []

    asyncio.run(execute(url, "UPDATE calendar.alembic_version SET version_num = '0001'"))
    assert made.wrong() == ["calendar: its tables are of this version: run `parvis migrate`"]
    asyncio.run(execute(url, f"UPDATE calendar.alembic_version SET version_num = '{head_of('calendar')}'"))

    monkeypatch.setattr(doctor, "utc_now", lambda: utc_now() + timedelta(minutes=3))
    late = made.wrong()
    assert len(late) == 5 and all("its clock agrees with ours: they are " in one and "set both by NTP" in one for one in late), late


def head_of(service: str) -> str:
    from parvis_kit.db.versions import heads

    return heads(f"parvis_{service}.migrations")[0]


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_a_bucket_that_is_not_there_or_that_pages_may_not_send_to_is_named(
    installation: Installation, s3: dict[str, str], tmp_path: Path
) -> None:
    secret, bucket = tmp_path / "secret", f"t{token_hex(6)}"
    secret.write_text(s3["secret"])
    installation.environ |= {
        "PARVIS_FILES_BLOBS_URL": f"http://{s3['access_key']}@{s3['endpoint'].removeprefix('http://')}/{bucket}",
        "PARVIS_FILES_BLOBS_SECRET_FILE": str(secret),
        "PARVIS_PUBLIC_URL": "http://suite.example.org",
    }
    where = f"files: blobs are in order: {s3['endpoint']}/{bucket}"

    def with_store(origin: str, act: Callable[[S3Store], Awaitable[Any]]) -> None:
        async def run() -> None:
            signer = Signer(s3["access_key"], s3["secret"], "us-east-1")
            store = S3Store(Bucket(s3["endpoint"], s3["endpoint"], bucket, signer, origin), utc_now)
            try:
                await act(store)
            finally:
                await store.close()

        asyncio.run(run())

    async def forget_rules(store: S3Store) -> None:
        async with store._ask("DELETE", "", {"cors": ""}) as answer:
            assert answer.status in (200, 204)

    [said] = installation.wrong()
    assert said == f"files: blobs are in order: there is no bucket {s3['endpoint']}/{bucket}: make it, or start Parvis with a key that may"
    with_store("http://suite.example.org", S3Store.prepare)
    assert installation.wrong() == []
    with_store("", forget_rules)
    with_store("http://elsewhere.example.org", S3Store.prepare)
    [said] = installation.wrong()
    assert said.startswith(where) and "takes nothing that pages of http://suite.example.org send (CORS)" in said, "it lets others in"
    secret.write_text("of somebody else")
    [said] = installation.wrong()
    assert "refuses our key" in said and "PARVIS_FILES_BLOBS_SECRET_FILE" in said
