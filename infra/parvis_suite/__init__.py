"""The roof: assembly and command line, the only code that sees every service."""
