"""The whole main job, undisturbed; `test_the_whole_main_job.py` runs it by name where there is no network, so it is not collected."""

import asyncio

from .running import Running
from .test_the_whole_main_job import whole_job


def test_the_whole_main_job(suite: Running, dav_python: str) -> None:
    suite.dav_python = dav_python
    asyncio.run(whole_job(suite))
    assert suite.kills == 0
