"""The suite's facts, one module per publisher: the only thing that services share."""

from parvis_contracts import billing, calendar, directory, files, messaging

PUBLISHERS = (billing, calendar, directory, files, messaging)
"""Every module of facts; importing this package declares them all."""
