"""CalDAV (RFC 4791) and what clients expect around it, one subject a file."""

from parvis_calendar.caldav import collections, common, discovery, freebusy, objects, propfind, reports

__all__ = ["ROUTES", "collections", "discovery", "freebusy", "objects", "propfind", "reports"]

ROUTES = (common.ROUTES,)
