"""`python -m parvis_suite` is `parvis`."""

from parvis_suite.cli import main

main()
