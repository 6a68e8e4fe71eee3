"""The doors: JSON over HTTP, and the octets of an installation without S3."""
