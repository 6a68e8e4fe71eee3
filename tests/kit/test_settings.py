"""What may be set from outside."""

from pathlib import Path

import pytest
from parvis_kit.db.engines import asyncpg_url
from parvis_kit.events.kafka.client import options
from parvis_kit.password_files import without_password_file
from parvis_kit.settings import Kafka, Platform, Settings, SettingsRefused, described, masked, refuse_unknown, role_of
from pydantic import SecretStr


class Library(Settings):
    env_prefix = "PARVIS_LIBRARY_"

    shelves_max: int = 12
    """How many shelves there may be;
    a thirteenth is refused."""


def test_a_setting_is_read_from_the_environment_that_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARVIS_PORT", "1")
    assert Platform.read({"PARVIS_PORT": "9000", "PARVIS_TRUSTED_PROXIES": '["10.0.0.0/8"]'}) == Platform(
        port=9000, trusted_proxies=("10.0.0.0/8",)
    )
    assert Platform.read({}).port == 8080
    assert Platform.read().port == 1


def test_a_setting_left_empty_is_not_set() -> None:
    assert Platform.read({"PARVIS_METRICS_PORT": ""}).metrics_port is None


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("PARVIS_PORT", "http", "PARVIS_PORT: Input should be a valid integer"),
        ("PARVIS_PORT", "70000", "PARVIS_PORT: Input should be less than or equal to 65535"),
        ("PARVIS_LOG_LEVEL", "LOUD", "PARVIS_LOG_LEVEL: Input should be 'DEBUG'"),
        ("PARVIS_TRUSTED_PROXIES", "10.0.0.0/8", "written as JSON"),
        ("PARVIS_DATABASE_URL", "sqlite:///parvis.db", "left empty, Parvis keeps SQLite files"),
        ("PARVIS_KAFKA_BOOTSTRAP_SERVERS", "k:9092", "PARVIS_KAFKA_BOOTSTRAP_SERVERS takes a PARVIS_DATABASE_URL too"),
        ("PARVIS_KAFKA_KEY_FILE", "client.key", "takes PARVIS_KAFKA_CERTIFICATE_FILE and PARVIS_KAFKA_KEY_FILE"),
        ("PARVIS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "SASL takes PARVIS_KAFKA_USERNAME and PARVIS_KAFKA_PASSWORD_FILE"),
        ("PARVIS_KAFKA_PARTITIONS", "0", "PARVIS_KAFKA_PARTITIONS: Input should be greater than or equal to 1"),
        ("PARVIS_KAFKA_PREFIX", "a/b", "PARVIS_KAFKA_PREFIX: String should match pattern"),
    ],
)
def test_a_value_that_will_not_do_is_refused_by_its_name(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        Platform.read({name: value})
    assert said in str(refused.value)


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsRefused) as refused:
        Platform.read({"PARVIS_DATABASE_URL": "mysql://root:hunter2@host/db"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("PARVIS_DATABSE_URL", "PARVIS_DATABASE_URL"),
        ("PARVIS_LIBRARY_SHELFS_MAX", "PARVIS_LIBRARY_SHELVES_MAX"),
        ("PARVIS_QQ", "PARVIS_"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsRefused, match=f"{name} is no setting of Parvis; did you mean {nearest}"):
        refuse_unknown({name: "1", "HOME": "/", "PARVIS_PORT": "1"}, (Platform, Library))


def test_known_names_pass() -> None:
    refuse_unknown({"PARVIS_PORT": "1", "PARVIS_LIBRARY_SHELVES_MAX": "3", "PARVIS_TEST_SEED": "1", "HOME": "/"}, (Platform, Library))


def test_each_service_has_a_file_of_its_own_in_the_data_folder(tmp_path: Path) -> None:
    assert Platform(data=tmp_path).database_url_of("files") == f"sqlite:///{tmp_path}/files.db"


@pytest.mark.parametrize(
    "given, derived",
    [
        ("postgresql://db/parvis", "postgresql://parvis_files@db/parvis"),
        ("postgresql://postgres:secret@db:5433/parvis", "postgresql://parvis_files@db:5433/parvis"),
        ("postgresql://db/parvis?sslmode=require", "postgresql://parvis_files@db/parvis?sslmode=require"),
        ("postgresql:///parvis?host=/run/postgresql", "postgresql://parvis_files@/parvis?host=/run/postgresql"),
    ],
)
def test_each_service_has_a_role_of_its_own(given: str, derived: str) -> None:
    assert Platform(database_url=SecretStr(given)).database_url_of("files") == derived
    assert role_of("files") == "parvis_files"


def test_the_password_of_the_roles_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss/w:rd\n")
    platform = Platform(database_url=SecretStr("postgresql://admin@db/parvis"), database_password_file=file)
    url, named = without_password_file(platform.database_url_of("files"))
    assert (url, named) == ("postgresql://parvis_files@db/parvis", str(file)) and platform.password == "p@ss/w:rd"
    assert platform.admin_url == "postgresql://admin@db/parvis"


def test_the_password_to_kafka_stays_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    environ = {"PARVIS_KAFKA_PASSWORD_FILE": str(tmp_path / "password"), "PARVIS_KAFKA_USERNAME": "parvis"}
    platform = Platform.read(environ)
    assert platform.kafka_password == "hunter2"
    assert "hunter2" not in " ".join(f"{row.value} {platform!r}" for row in described(platform, environ))


@pytest.mark.parametrize("content", ["", "  \n", "mot de passe é"])
def test_a_password_file_without_a_password_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    with pytest.raises(SettingsRefused, match="PARVIS_DATABASE_PASSWORD_FILE"):
        Platform(database_password_file=file).password  # noqa: B018


def test_a_password_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="cannot be read"):
        Platform(database_password_file=tmp_path / "none").password  # noqa: B018


def test_the_ssl_mode_of_a_url_reaches_the_driver() -> None:
    url = asyncpg_url("postgresql://db/parvis?sslmode=verify-full")
    assert (url.drivername, dict(url.query)) == ("postgresql+asyncpg", {"ssl": "verify-full"})


def test_a_description_tells_value_origin_and_sentence() -> None:
    environ = {"PARVIS_LIBRARY_SHELVES_MAX": "3"}
    [row] = described(Library.read(environ), environ)
    assert (row.name, row.value, row.origin) == ("PARVIS_LIBRARY_SHELVES_MAX", "3", "environment")
    assert row.sentence == "How many shelves there may be; a thirteenth is refused."


def test_every_setting_of_the_platform_has_its_sentence() -> None:
    assert all(row.sentence.endswith(".") for row in described(Platform(), {}))


@pytest.mark.parametrize(
    "secret, shown",
    [
        ("", ""),
        ("hunter2", "***"),
        ("postgresql://db/parvis", "postgresql://db/parvis"),
        ("postgresql://me@db/parvis", "postgresql://me@db/parvis"),
        ("postgresql://me:hunter2@db/parvis", "postgresql://me:***@db/parvis"),
        ("postgresql://db/parvis?password=hunter2", "postgresql://db/parvis?***"),
        ("postgresql:///parvis?password=hunter2", "***"),
        ("postgresql://me:hunt@r2@db/parvis", "postgresql://me:***@db/parvis"),
        ("postgresql://me:hun/ter2@db/parvis", "***"),
        ("postgresql://me:hun#ter2@db/parvis", "***"),
        ("postgresql://me:hun?ter2@db/parvis", "***"),
        ("postgresql://me:h@n/ter2@db/parvis", "***"),
        ("postgresql://me:hun[ter2@db/parvis", "***"),
    ],
)
def test_a_secret_is_masked(secret: str, shown: str) -> None:
    assert masked(SecretStr(secret)) == shown


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, ""),
        (8080, "8080"),
        ("https://s3.example.org/blobs?region=paris", "https://s3.example.org/blobs?region=paris"),
        ("https://KEY@s3.example.org/blobs?region=paris", "https://KEY@s3.example.org/blobs?region=paris"),
        ("https://KEY:hunter2@s3.example.org/blobs?region=paris", "https://KEY:***@s3.example.org/blobs?region=paris"),
        ("https://KEY:hun/ter2@s3.example.org/blobs", "***"),
    ],
)
def test_a_password_is_masked_where_none_belongs(value: object, shown: str) -> None:
    """`PARVIS_FILES_BLOBS_URL` takes no secret, and is shown before anybody is told so."""
    assert masked(value) == shown


def test_a_certificate_for_kafka_that_does_not_fit_its_key_is_refused_by_its_names(tmp_path: Path) -> None:
    for name in ("client.pem", "client.key"):
        (tmp_path / name).write_text("neither")
    given = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CERTIFICATE_FILE": "client.pem", "KAFKA_KEY_FILE": "client.key"}
    kafka = Kafka.read({f"PARVIS_{name}": str(tmp_path / value) if "FILE" in name else value for name, value in given.items()})
    with pytest.raises(SettingsRefused, match="PARVIS_KAFKA_CERTIFICATE_FILE, PARVIS_KAFKA_KEY_FILE"):
        options(kafka, "a service")
