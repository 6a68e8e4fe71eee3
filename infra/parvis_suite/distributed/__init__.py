"""The distributed shape on one machine, without Docker: each service a process on real servers, behind a real proxy, kept running."""
