"""WebDAV (RFC 4918) as far as no service's rules are concerned: requests read, conditions checked, multistatus written as bytes."""

from parvis_kit.webdav.conditions import Current, check_conditions, check_if, wants_minimal
from parvis_kit.webdav.multistatus import MULTISTATUS, Multistatus, element, error_body, escaped, href_of, status_line, text_element
from parvis_kit.webdav.names import APPLE, CALDAV, CALENDARSERVER, DAV, Name, child_of, opening, prefixed
from parvis_kit.webdav.paths import depth_of, quoted, raw_path, segments_of
from parvis_kit.webdav.problems import Precondition, dav_answer, guarded
from parvis_kit.webdav.reading import ELEMENTS_MAX, Propfind, Proppatch, read_body, read_propfind, read_proppatch, read_xml

__all__ = [
    "APPLE",
    "CALDAV",
    "CALENDARSERVER",
    "Current",
    "DAV",
    "ELEMENTS_MAX",
    "MULTISTATUS",
    "Multistatus",
    "Name",
    "Precondition",
    "Propfind",
    "Proppatch",
    "check_conditions",
    "check_if",
    "child_of",
    "dav_answer",
    "depth_of",
    "element",
    "error_body",
    "escaped",
    "guarded",
    "href_of",
    "opening",
    "prefixed",
    "quoted",
    "raw_path",
    "read_body",
    "read_propfind",
    "read_proppatch",
    "read_xml",
    "segments_of",
    "status_line",
    "text_element",
    "wants_minimal",
]
