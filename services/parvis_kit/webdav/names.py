"""Names of elements, as `{namespace}local` when they are read and with our prefixes when they are written."""

from functools import lru_cache

DAV = "DAV:"
CALDAV = "urn:ietf:params:xml:ns:caldav"
CALENDARSERVER = "http://calendarserver.org/ns/"
APPLE = "http://apple.com/ns/ical/"
PREFIXES = {DAV: "D", CALDAV: "C", CALENDARSERVER: "CS", APPLE: "A"}
DECLARED = " ".join(f'xmlns:{prefix}="{namespace}"' for namespace, prefix in PREFIXES.items()).encode()
"""What every answer declares once, on its root."""
NAMES_KEPT = 512

Name = str
"""`{namespace}local`, as lxml has it."""


def child_of(namespace: str, local: str) -> Name:
    return f"{{{namespace}}}{local}"


def parts_of(name: Name) -> tuple[str, str]:
    """Namespace and local name; the namespace is empty when there is none."""
    if name.startswith("{"):
        namespace, _, local = name[1:].partition("}")
        return namespace, local
    return "", name


@lru_cache(NAMES_KEPT)
def opening(name: Name) -> tuple[bytes, bytes]:
    """What stands in the opening tag, with a declaration where the namespace is none of ours, and in the closing one."""
    namespace, local = parts_of(name)
    prefix = PREFIXES.get(namespace)
    if prefix is not None:
        tag = f"{prefix}:{local}".encode()
        return tag, tag
    if not namespace:
        return f'{local} xmlns=""'.encode(), local.encode()
    declared = namespace.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return f'X:{local} xmlns:X="{declared}"'.encode(), f"X:{local}".encode()


def prefixed(name: Name) -> bytes:
    """An empty element of this name."""
    return b"<" + opening(name)[0] + b"/>"
