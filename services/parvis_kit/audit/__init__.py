"""The audit: who did what to which thing, and what was decided; chained by hashes, so that no row can be changed unseen."""

from parvis_kit.audit.rows import audit_tables, consult, consulted, record

__all__ = ["audit_tables", "consult", "consulted", "record"]
