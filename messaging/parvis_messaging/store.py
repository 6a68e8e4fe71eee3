"""The tables."""

from parvis_roster import service_metadata

METADATA = service_metadata("messaging")
