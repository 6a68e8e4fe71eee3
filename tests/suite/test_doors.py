"""Every typed door of every service can be made: a process makes each when it is first asked for, too late to learn of a mistake."""

import pytest
from parvis_kit.http.chain import LIMITS
from parvis_kit.http.reading import typed
from parvis_kit.settings import Platform
from parvis_suite.services import BUILDERS, build


@pytest.mark.parametrize("name", BUILDERS)
async def test_every_door_can_be_made(name: str) -> None:
    service = build(name, Platform())
    doors = [typed(one, LIMITS) for routes in service.routes for one in routes.operations]
    await service.database.close()
    assert doors
