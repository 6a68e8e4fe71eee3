"""Where the password of a database URL lies, said in the URL itself: it is read when a connection is opened, and may change."""

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

PASSWORD_FILE = "parvis_password_file"  # noqa: S105 (the name of a parameter)
"""In the query; nobody but `parvis_kit.db.connecting` understands it."""


def with_password_file(url: str, file: Path) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), (PASSWORD_FILE, str(file.absolute()))])))


def without_password_file(url: str) -> tuple[str, str]:
    """The URL as drivers read it, and the file; empty where there is none."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    file = next((value for name, value in query if name == PASSWORD_FILE), "")
    return (urlunsplit(parts._replace(query=urlencode([one for one in query if one[0] != PASSWORD_FILE]))), file) if file else (url, "")
