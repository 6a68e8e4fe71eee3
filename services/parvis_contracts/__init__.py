"""The suite's facts, one module per publisher: the only thing that services share."""

from parvis_contracts import directory

PUBLISHERS = (directory,)
"""Every module of facts; importing this package declares them all."""
