"""What is public is in the reference pages, and they are current."""

import subprocess
import sys

from .conftest import ROOT


def test_the_reference_pages_are_what_the_code_says_now() -> None:
    command = [sys.executable, "-m", "parvis_suite.reference", "--check"]  # a process of its own: no metric of a test is in it
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, ""), said.stdout + said.stderr
