"""Column types that mean the same on SQLite and on PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""A number that the database gives out: SQLite numbers INTEGER columns only. Pair it with `sqlite_autoincrement=True`,
or SQLite gives the last number out again after its row is deleted."""


class Json(sa.types.TypeDecorator[Any]):
    """JSON, on PostgreSQL as JSONB; None is NULL."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name != "postgresql":
            return super().load_dialect_impl(dialect)
        from sqlalchemy.dialects.postgresql import JSONB  # with all of its dialect, which SQLite does without

        return dialect.type_descriptor(JSONB(none_as_null=True))


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment. Plain DateTime(timezone=True) drops the offset on SQLite and then sorts wrongly."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without its time zone: pass an aware datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def in_sqlite(moment: datetime) -> str:
    """A moment as a Moment column keeps it there, for statements that go to the driver itself."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def metadata_for(service: str) -> sa.MetaData:
    """The tables of one service, in the schema of its name (on SQLite: its file, attached under that name)."""
    return sa.MetaData(schema=service, naming_convention=NAMING)


def partial_index(name: str, *columns: sa.ColumnElement[Any], where: sa.ColumnElement[bool], unique: bool = False) -> sa.Index:
    """Of the rows alone for which `where` holds, on either database."""
    return sa.Index(name, *columns, unique=unique, sqlite_where=where)


@compiles(sa.schema.CreateIndex, "postgresql")
def _create_index(create: sa.schema.CreateIndex, compiler: Any, **options: Any) -> str:
    """PostgreSQL is told of `where` when it makes the index: to say `postgresql_where` before would load its dialect everywhere."""
    of = create.element.dialect_options
    if of["postgresql"]["where"] is None:
        of["postgresql"]["where"] = of["sqlite"]["where"]
    return str(compiler.visit_create_index(create, **options))
