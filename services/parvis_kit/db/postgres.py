"""Transactions on PostgreSQL, begun and ended by statements of ours: what a transaction says last can go with its COMMIT."""

from typing import Any

import asyncpg
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

OWN_TRANSACTIONS = "postgresql+parvis"
"""What the URL of an engine names for this dialect; it wants the isolation level AUTOCOMMIT, in which nobody else begins or commits."""


class Dialect(PGDialect_asyncpg):
    """SQLAlchemy's, whose transactions are asyncpg's objects, which do not know of a COMMIT that they did not send."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        self._send(dbapi_connection, "BEGIN")

    def do_commit(self, dbapi_connection: Any) -> None:
        """Nothing where the transaction's last words brought COMMIT along."""
        if dbapi_connection.driver_connection.is_in_transaction() and self._send(dbapi_connection, "COMMIT") != "COMMIT":
            raise self.loaded_dbapi.InternalError(ROLLED_BACK)

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Also of what comes back to the pool, whatever it was doing."""
        if dbapi_connection.driver_connection.is_in_transaction():
            self._send(dbapi_connection, "ROLLBACK")

    def _send(self, dbapi_connection: Any, statement: str) -> str:
        try:
            return str(dbapi_connection.run_async(lambda driver: driver.execute(statement)))
        except asyncpg.InternalClientError as error:  # an answer in pieces, of a server that was ended in its midst: asyncpg knows no more
            dbapi_connection.driver_connection.terminate()
            raise self.loaded_dbapi.OperationalError(str(error), error) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # SQLAlchemy asks after errors of its own alone whether a connection is lost, and then lets go of all that were as old.
            raise self.loaded_dbapi.OperationalError(str(error), error) from error


ROLLED_BACK = "the transaction was rolled back: a statement in it had failed, outside a savepoint, and nobody was told"
registry.register("postgresql.parvis", __name__, Dialect.__name__)
