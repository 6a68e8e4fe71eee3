"""What every act may need: the refusals of a taken value, of a missing one, and of a version that has passed."""

from collections.abc import Awaitable
from typing import TypeVar

from parvis_kit.db import unique_violation
from parvis_kit.problems import Conflict, Invalid, PreconditionFailed
from sqlalchemy.exc import IntegrityError

T = TypeVar("T")


async def unless_taken(work: Awaitable[T], taken: str, missing: str) -> T:
    """Raises Conflict when a unique value is taken, Invalid when what is referred to is not there."""
    try:
        return await work
    except IntegrityError as error:
        raise (Conflict(taken) if unique_violation(error) else Invalid(missing)) from None


def check_revision(revision: int, if_match: str) -> None:
    """Raises PreconditionFailed when the thing has changed since it was read."""
    if if_match != f'"{revision}"':
        raise PreconditionFailed("It has changed since you read it: read it again, then send its new ETag.")
