"""A bar that is missed fails its bench, and `make bench` with it."""

import ast
import runpy
import shutil
from pathlib import Path

import pytest

from .conftest import ROOT

BENCHES = sorted(ROOT.glob("tests/bench/bench_*.py"))


@pytest.mark.parametrize("bench", BENCHES)
def test_a_bench_ends_with_its_verdicts(bench: Path) -> None:
    text = bench.read_text()
    tree = ast.parse(text)
    called = {ast.unparse(one) for one in ast.walk(tree) if isinstance(one, ast.Call)}
    assert "MISSED" not in text, "verdicts come from _bars.py, which remembers them"
    assert any(one.startswith(("say(", "verdict(")) for one in called)
    assert "exit_status()" in {ast.unparse(one.value) for one in ast.walk(tree) if isinstance(one, ast.Return) and one.value}
    assert "sys.exit(main())" in called and "main()" not in [ast.unparse(one) for one in tree.body[-1].body]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("is_met", "status"), [(True, 0), (False, 1)])
def test_what_is_missed_is_named_at_the_end(is_met: bool, status: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "tests/bench/_bars.py", tmp_path)
    bench, other = tmp_path / "bench_one.py", tmp_path / "bench_other.py"
    bench.write_text(f"import sys\nfrom _bars import exit_status, say\nsay('one', '1 ms', '2 ms', {is_met})\nsys.exit(exit_status())\n")
    other.write_text("import sys\nfrom _bars import exit_status, verdict\nverdict(True)\nsys.exit(exit_status())\n")
    run = runpy.run_path(str(ROOT / "infra/run-benches.py"))["run"]
    assert run([bench, other], {}) == status
    told = capfd.readouterr().out
    assert ("failed: bench_one\n" in told, "MISSED one" in told) == (not is_met, not is_met)
