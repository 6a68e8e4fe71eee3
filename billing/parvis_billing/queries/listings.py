"""What was paid, page by page."""

from typing import Any

from parvis_kit.db import Connection
from parvis_kit.http import Page

from parvis_billing.rules import Asker, check_finance
from parvis_billing.rules.costs import item_from
from parvis_billing.store import costs


async def items_for(conn: Connection, asker: Asker, after: str, limit: int) -> Page[tuple[Any, ...]]:
    """Raises Forbidden."""
    check_finance(asker)
    rows = await costs.item_page(conn, after, limit)
    files = await costs.files(conn, [row.file_id for row in rows])
    found = []
    for row in rows:
        one = item_from(row.content, row.amount_cents)
        found.append((
            one.id, row.revision, one.title, one.cents, one.price, one.starts, one.ends, dict(one.services), list(one.perimeters), one.key,
            list(one.admissible), f"{one.source.title}, {one.source.date}: {one.source.scope}", one.document, files[row.file_id].name,
            row.line,
        ))  # fmt: skip
    return Page(found, rows[-1].id if len(rows) == limit else None)
