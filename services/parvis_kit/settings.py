"""What may be set from outside: PARVIS_… names, read once; an unknown one is refused with the nearest known."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from parvis_kit.password_files import with_password_file

PREFIX = "PARVIS_"
AROUND = ("PARVIS_TEST_", "PARVIS_CACHE")
"""How names begin that the tools around Parvis read, and Parvis itself does not."""


class SettingsRefused(Exception):
    """A setting is unknown or has no acceptable value; the message says which, and what would do."""


class Settings(BaseModel):
    """Subclass it in a service's settings.py: `env_prefix = "PARVIS_FILES_"`, then ≤ 10 fields, each with a sentence. Only `read` looks at
    the environment."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        defer_build=True,
    )
    env_prefix: ClassVar[str] = PREFIX
    """How the names of its fields begin in the environment."""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Self:
        """From the environment, where what is empty is not set. Raises SettingsRefused. Names that nobody knows are for `refuse_unknown`,
        which knows all classes."""
        given = {name.upper(): value for name, value in (os.environ if environ is None else environ).items() if value}
        try:
            return cls(**{field: cls._read(name, field, given[name]) for name, field in cls.names().items() if name in given})
        except ValidationError as error:
            raise SettingsRefused("; ".join(map(cls._said, error.errors()))) from None

    @classmethod
    def _read(cls, name: str, field: str, text: str) -> Any:
        kind = cls.model_fields[field].annotation
        if not any(get_origin(one) in (tuple, dict) for one in (kind, *get_args(kind))):
            return text
        try:
            return json.loads(text)
        except ValueError:
            raise SettingsRefused(f"{name}: lists and tables are written as JSON") from None

    @classmethod
    def _said(cls, error: Any) -> str:
        """A rule about several settings names them itself."""
        return f"{cls._name_of(str(error['loc'][0]))}: {error['msg']}" if error["loc"] else str(error["msg"]).removeprefix("Value error, ")

    @classmethod
    def names(cls) -> dict[str, str]:
        """Environment name → field."""
        return {cls._name_of(field): field for field in cls.model_fields}

    @classmethod
    def _name_of(cls, field: str) -> str:
        return f"{cls.env_prefix}{field}".upper()


class Kafka(Settings):
    """Where the facts go when a database alone is not enough."""

    kafka_bootstrap_servers: str = ""
    """HOST:PORT,HOST:PORT of the Kafka that carries the facts; left empty, they stay in the database."""
    kafka_prefix: str = Field(default="", max_length=100, pattern=r"^[a-zA-Z0-9._-]*$")
    """How the names of topics and groups begin, where several installations share one Kafka."""
    kafka_partitions: int = Field(default=12, ge=1, le=1000)
    """Of each topic. Chosen once, before the first `parvis migrate`: another number would give keys another order."""
    kafka_replication_factor: int = Field(default=3, ge=1, le=9)
    """On how many brokers each topic is kept, from the first `parvis migrate` on; with 3 or more, two have to confirm each fact."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """SASL says who we are, SSL encrypts; anything but SASL_SSL or SSL belongs inside one machine."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the password is proved; PLAIN sends it as it is."""
    kafka_username: str = ""
    """Who we are to Kafka, with SASL."""
    kafka_password_file: Path | None = None
    """A file that holds the password of PARVIS_KAFKA_USERNAME, so that it stays out of the environment."""
    kafka_ca_file: Path | None = None
    """The certificates (PEM) that Kafka's own is to be signed by; by default the system's."""
    kafka_certificate_file: Path | None = None
    """Our own certificate (PEM, with those that it hangs on), where Kafka asks its clients for one."""
    kafka_key_file: Path | None = None
    """The private key (PEM, without a password) of PARVIS_KAFKA_CERTIFICATE_FILE."""

    @cached_property
    def is_kafka(self) -> bool:
        return bool(self.kafka_bootstrap_servers)

    @cached_property
    def kafka_password(self) -> str:
        """Raises SettingsRefused when its file cannot be read."""
        return password_in(self.kafka_password_file, "PARVIS_KAFKA_PASSWORD_FILE")

    @model_validator(mode="after")
    def _says_who_we_are(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (self.kafka_username and self.kafka_password_file):
            raise ValueError("SASL takes PARVIS_KAFKA_USERNAME and PARVIS_KAFKA_PASSWORD_FILE")
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise ValueError("a certificate of our own takes PARVIS_KAFKA_CERTIFICATE_FILE and PARVIS_KAFKA_KEY_FILE")
        if self.kafka_certificate_file is not None and not self.kafka_security_protocol.endswith("SSL"):
            raise ValueError("PARVIS_KAFKA_CERTIFICATE_FILE takes PARVIS_KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL")
        return self


class Platform(Kafka):
    """What every service of one installation shares."""

    data: Path = Path("data")
    """Where Parvis keeps all that it writes: SQLite files, blobs, demo.json. Nothing is written elsewhere."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Where agents come in; 0 takes any free port."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Where Prometheus scrapes; by default the port after `port`, or any free one when `port` is 0."""
    public_url: str = ""
    """What agents type, for links and cookies; by default http://HOST:PORT. Never taken from a request."""
    database_url: SecretStr = SecretStr("")
    """postgresql://HOST/DB for all services, a schema and a role each; by default SQLite files in PARVIS_DATA."""
    database_password_file: Path | None = None
    """A file that holds the password of the services' roles, so that it stays out of the environment."""
    database_admin_url: SecretStr = SecretStr("")
    """For `parvis migrate` alone: who may make schemas, roles and grants. By default PARVIS_DATABASE_URL as it is."""
    database_admin_password_file: Path | None = None
    """A file that holds the password of whom PARVIS_DATABASE_ADMIN_URL names."""
    database_metrics_password_file: Path | None = None
    """For `parvis migrate` alone: a file that holds the password of the role parvis_metrics, under which a PostgreSQL exporter reads
    statistics and no table. By default there is no such role."""
    sqlite_synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """FULL keeps the very last commits through a power cut too, at one fsync each; NORMAL through a crash of Parvis."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose X-Forwarded-For is believed, as a JSON list."""
    audit_anchors: Path | None = None
    """Where the heads of the audit's chains are written now and then: a file, or a folder that is there (a bucket's mount) for a new
    file each time. Best where those who run Parvis cannot write; by default audit-anchors.jsonl in PARVIS_DATA."""
    audit_anchor_minutes: int = Field(default=60, ge=1, le=1440)
    """How often; what is changed in the database within this time, chain and all, is noticed by nobody."""
    in_flight_max: int = Field(default=64, ge=1)
    """Requests at work at once in each service; beyond it: 503 with Retry-After."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much is said in the logs."""
    access_log: bool = True
    """One JSON line for each request."""
    fail: str = ""
    """Failpoints, for tests alone: NAME:sleep:SECONDS, NAME:kill:N, NAME:fail. `parvis doctor` reports them."""

    @field_validator("database_url", "database_admin_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not value.get_secret_value().startswith("postgresql://"):
            raise ValueError("postgresql://HOST/DB is what it takes; left empty, Parvis keeps SQLite files in PARVIS_DATA")
        return value

    @cached_property
    def is_sqlite(self) -> bool:
        return not self.database_url.get_secret_value()

    @property
    def anchors(self) -> Path:
        """Where the heads of the audit's chains are written."""
        return self.audit_anchors or self.data / "audit-anchors.jsonl"

    def database_url_of(self, service: str) -> str:
        """The URL under which a service opens its own tables, with its own role on PostgreSQL."""
        if self.is_sqlite:
            return f"sqlite:///{self.data.absolute() / service}.db"
        return self.postgresql_url_as(role_of(service))

    @property
    def admin_url(self) -> str:
        """Under which schemas, roles and grants are made on PostgreSQL."""
        url = self.database_admin_url.get_secret_value() or self.database_url.get_secret_value()
        password = password_in(self.database_admin_password_file, "PARVIS_DATABASE_ADMIN_PASSWORD_FILE")
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        if not password or ":" in user:
            return url
        return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))

    def postgresql_url_as(self, role: str) -> str:
        """PARVIS_DATABASE_URL for another role. A user written in it is the administrator's: roles derive from service names."""
        parts = urlsplit(self.database_url.get_secret_value())
        url = urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))
        if self.password and self.database_password_file is not None:  # that it cannot be read is told at once
            return with_password_file(url, self.database_password_file)
        return url

    @cached_property
    def password(self) -> str:
        """Of the services' roles. Raises SettingsRefused when its file cannot be read."""
        return password_in(self.database_password_file, "PARVIS_DATABASE_PASSWORD_FILE")

    @property
    def metrics_password(self) -> str:
        """Of METRICS_ROLE; empty when there is to be none. Raises SettingsRefused when its file cannot be read."""
        return password_in(self.database_metrics_password_file, "PARVIS_DATABASE_METRICS_PASSWORD_FILE")

    @model_validator(mode="after")
    def _has_an_outbox(self) -> Self:
        if self.is_kafka and self.is_sqlite:
            raise ValueError("PARVIS_KAFKA_BOOTSTRAP_SERVERS takes a PARVIS_DATABASE_URL too: on SQLite facts stay in its files")
        return self


def password_in(file: Path | None, name: str) -> str:
    if file is None:
        return ""
    try:
        password = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsRefused(f"{name}: {file} cannot be read: {error}") from None
    if not password or not password.isprintable():
        raise SettingsRefused(f"{name}: {file} holds no password of printable ASCII")
    return password


METRICS_ROLE = "parvis_metrics"


def role_of(service: str) -> str:
    """The PostgreSQL role of a service."""
    return f"parvis_{service}"


def refuse_unknown(environ: Mapping[str, str], classes: Iterable[type[Settings]]) -> None:
    """A misspelt setting would silently not count. Raises SettingsRefused."""
    known = {name for one in classes for name in one.names()}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and not name.upper().startswith(AROUND) and name.upper() not in known:
            import difflib  # for whoever mistypes, once

            near = difflib.get_close_matches(name.upper(), sorted(known), 1, 0.0)
            raise SettingsRefused(f"{name} is no setting of Parvis; did you mean {near[0]}? `parvis config` lists them all.")


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as it stands."""

    name: str
    value: str
    origin: Literal["environment", "default"]
    sentence: str


def described(settings: Settings, environ: Mapping[str, str]) -> list[Described]:
    """Every setting of a class with its effective value, secrets masked."""
    given = {name.upper() for name, value in environ.items() if value}
    return [
        Described(
            name,
            masked(getattr(settings, field)),
            "environment" if name in given else "default",
            " ".join((type(settings).model_fields[field].description or "").split()),
        )
        for name, field in settings.names().items()
    ]


def masked(value: Any) -> str:
    """As text; of a secret that is a URL, whom it reaches and nothing more; of any other URL, all but a password."""
    is_secret = isinstance(value, SecretStr)
    text = value.get_secret_value() if is_secret else "" if value is None else str(value)
    if not text or not (is_secret or ("://" in text and "@" in text)):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return "***"
    if not parts.scheme or not parts.hostname or parts.netloc.count("@") != text.count("@"):  # a password may hold what ends a host
        return "***"
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    netloc = f"{name}{':***' if ':' in user else ''}@{host}" if user else host
    if is_secret:
        return urlunsplit((parts.scheme, netloc, parts.path, parts.query and "***", ""))
    return urlunsplit(parts._replace(netloc=netloc))
