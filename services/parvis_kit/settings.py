"""What may be set from outside: PARVIS_… names, read once; an unknown one is refused with the nearest known."""

import difflib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsRefused(Exception):
    """A setting is unknown or has no acceptable value; the message says which, and what would do."""


class Platform(BaseSettings):
    """What every service of one installation shares."""

    model_config = SettingsConfigDict(env_prefix="PARVIS_", frozen=True, extra="ignore")

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
    sqlite_synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """FULL keeps the very last commits through a power cut too, at one fsync each; NORMAL through a crash of Parvis."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose X-Forwarded-For is believed, as a JSON list."""
    in_flight_max: int = Field(default=64, ge=1)
    """Requests at work at once in each service; beyond it: 503 with Retry-After."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much is said in the logs."""
    access_log: bool = True
    """One JSON line for each request."""
    fail: str = ""
    """Failpoints, for tests alone: NAME:sleep:SECONDS, NAME:kill:N, NAME:fail. `parvis doctor` reports them."""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, known: Iterable[str] = ()) -> Self:
        """From the environment. `known`: names that the services' own settings add. Raises SettingsRefused."""
        refuse_unknown(os.environ if environ is None else environ, {*names_of(cls), *known})
        try:
            return (
                cls()
                if environ is None
                else cls(**{name: environ[key] for name in cls.model_fields if (key := f"PARVIS_{name.upper()}") in environ})
            )  # type: ignore[arg-type]
        except ValidationError as error:
            raise SettingsRefused("; ".join(f"PARVIS_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors())) from None

    @cached_property
    def is_sqlite(self) -> bool:
        return not self.database_url.get_secret_value()

    def database_url_of(self, service: str) -> str:
        """The URL under which a service opens its own tables, with its own role on PostgreSQL."""
        if self.is_sqlite:
            return f"sqlite:///{self.data.absolute() / service}.db"
        return self.postgresql_url_as(role_of(service))

    def postgresql_url_as(self, role: str) -> str:
        """PARVIS_DATABASE_URL for another role. A user written in it is the administrator's: roles derive from service names."""
        from urllib.parse import quote, urlsplit, urlunsplit

        parts = urlsplit(self.database_url.get_secret_value())
        host = parts.netloc.rpartition("@")[2]
        password = self.password
        return urlunsplit(parts._replace(netloc=f"{role}{':' + quote(password, safe='') if password else ''}@{host}"))

    @cached_property
    def password(self) -> str:
        return self.database_password_file.read_text().strip() if self.database_password_file else ""


def role_of(service: str) -> str:
    """The PostgreSQL role of a service."""
    return f"parvis_{service}"


def names_of(settings: type[BaseSettings]) -> set[str]:
    """The environment names that a class of settings reads."""
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper() for name in settings.model_fields}


def refuse_unknown(environ: Mapping[str, str], known: set[str]) -> None:
    """A misspelt setting would silently not count."""
    for name in sorted(environ):
        if name.startswith("PARVIS_") and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.0)
            raise SettingsRefused(f"{name} is no setting of Parvis; did you mean {near[0]}? `parvis config` lists them all.")
