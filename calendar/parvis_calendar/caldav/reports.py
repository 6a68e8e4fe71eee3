"""REPORT: which one is asked for, and what each gives of an object."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from parvis_kit.http import Request
from parvis_kit.problems import BadRequest
from parvis_kit.webdav import CALDAV, DAV, Name, Precondition, child_of, read_xml

from parvis_calendar.caldav.changes import sync_collection
from parvis_calendar.caldav.common import FRONT, TREES, Place, door, place_of
from parvis_calendar.caldav.freebusy import free_busy_query
from parvis_calendar.caldav.principals import principal_property_search, principal_search_property_set
from parvis_calendar.caldav.searches import calendar_multiget, calendar_query

SUPPORTED_REPORT = child_of(DAV, "supported-report")
Report = Callable[[Request, Place, Any], Awaitable[web.StreamResponse]]
REPORTS: Mapping[Name, Report] = {
    child_of(CALDAV, "calendar-query"): calendar_query,
    child_of(CALDAV, "calendar-multiget"): calendar_multiget,
    child_of(CALDAV, "free-busy-query"): free_busy_query,
    child_of(DAV, "sync-collection"): sync_collection,
    child_of(DAV, "principal-property-search"): principal_property_search,
    child_of(DAV, "principal-search-property-set"): principal_search_property_set,
}


@door(*FRONT, *TREES, method="REPORT")
async def report(request: Request) -> web.StreamResponse:
    """By the name of the root of its body."""
    place = place_of(request)
    root = await read_xml(request)
    if root is None:
        raise BadRequest("The body of a REPORT says which report is wanted.")
    wanted = REPORTS.get(root.tag)
    if wanted is None:
        raise Precondition(SUPPORTED_REPORT, "This report is not given here: DAV:supported-report-set says which are.")
    return await wanted(request, place, root)
