"""Alembic's way in, the same for every service; alembic runs it, and all that it does is in parvis_kit.db.migrations."""

from alembic import context
from parvis_kit.db.migrations import run

run(context)
