"""Why an object is not taken: the precondition of CalDAV that it breaks, and a sentence for a person."""

from parvis_kit.problems import Problem

VALID_DATA = "valid-calendar-data"
VALID_OBJECT = "valid-calendar-object-resource"
SUPPORTED_COMPONENT = "supported-calendar-component"
SUPPORTED_RSCALE = "supported-rscale"
MAX_SIZE = "max-resource-size"
MAX_ATTENDEES = "max-attendees-per-instance"
MAX_INSTANCES = "max-instances"


class NotTaken(Problem):
    """This calendar object is not one that is stored here."""

    status, code = 403, "object-not-taken"

    def __init__(self, condition: str, detail: str) -> None:
        super().__init__(detail)
        self.condition = condition
        """The local name of the precondition in CalDAV's namespace (RFC 4791 §5.3.2.1, RFC 7529)."""
