"""The suite's facts, one module per publisher: the only thing that services share."""

from parvis_contracts import billing, directory, files

PUBLISHERS = (billing, directory, files)
"""Every module of facts; importing this package declares them all."""
