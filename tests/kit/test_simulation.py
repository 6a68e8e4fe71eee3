"""The log's cores through thousands of histories of kills, freezes, lost tails and late sends: nothing lost, disordered or doubled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from parvis_kit.testing.contract import SCENARIOS, Scenario
from parvis_kit.testing.simulation.checker import RIGHT
from parvis_kit.testing.simulation.desk import play
from parvis_kit.testing.simulation.history import History, verdict_of
from parvis_kit.testing.simulation.mutants import HARMLESS, MUTANTS, applied, hunt
from parvis_kit.testing.simulation.plan import SHAPES, draw, shrink

FIRST_SEED, CHUNK = 1, 250
HISTORIES = 500_000 if os.environ.get("SOAK") else 10_000
HUNTED_MAX, HARMLESS_SEEDS = 1_000, 200
SEEDS = Path(__file__).with_name("seeds.txt")

REPLAY = "python -m parvis_kit.testing.simulation --trace --seed"


def remembered_seeds() -> list[int]:
    lines = (line.split(maxsplit=1) for line in SEEDS.read_text().splitlines() if line and not line.startswith("#"))
    return [int(seed) for seed, _ in lines]


@pytest.mark.soak
@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + HISTORIES, CHUNK))
def test_nothing_is_lost_disordered_or_applied_twice_in_any_history(first: int) -> None:
    seeds = range(first, first + CHUNK)
    print(f"seeds {seeds.start} to {seeds.stop - 1}")
    wrong, facts = {}, 0
    for seed in seeds:
        outcome = History(draw(seed)).run()
        facts += outcome.facts
        if outcome.verdict != RIGHT:
            wrong[seed] = f"{outcome.verdict}: {outcome.detail}"
    assert not wrong, f"replay one with `{REPLAY} SEED`"
    assert facts > 10 * len(seeds)


def test_the_histories_that_are_remembered_go_right() -> None:
    outcomes = {seed: History(draw(seed)).run() for seed in remembered_seeds()}
    wrong = {seed: f"{outcome.verdict}: {outcome.detail}" for seed, outcome in outcomes.items() if outcome.verdict != RIGHT}
    assert outcomes and not wrong, f"replay one with `{REPLAY} SEED`"


def test_the_histories_have_every_shape_and_every_kind_of_fault() -> None:
    plans = [draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + 2_000)]
    assert {plan.shape for plan in plans} == set(SHAPES)
    struck = {fault.kind for plan in plans for fault in plan.faults}
    assert struck == {
        *("kill", "freeze", "stop", "crash", "cut", "outage", "rebalance", "rewind"),
        *("duplicate", "conflict", "tidy", "forget"),
    }


# what the simulation is worth


@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - HARMLESS))
def test_a_protection_taken_away_is_missed(name: str) -> None:
    seed, verdict = hunt(name, FIRST_SEED, HUNTED_MAX)
    print(f"{name}: {verdict} at seed {seed}")
    assert verdict != RIGHT, f"{HUNTED_MAX} histories go right without it"


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_a_redundant_protection_is_not_missed(name: str) -> None:
    seed, verdict = hunt(name, FIRST_SEED, HARMLESS_SEEDS)
    assert verdict == RIGHT, f"seed {seed} needs it, though {HARMLESS[name]}"


@pytest.mark.parametrize(
    ("alone", "together"),
    [
        (("fence-unlocked", "inbox-read"), "fence-unlocked-and-inbox-read"),
        (("no-leader", "head-unlocked", "log-key-unchecked"), "numbered-by-two"),
        (("writer-unlocked", "log-key-unchecked"), "two-writers"),
    ],
)
def test_protections_that_stand_in_for_each_other_are_missed_together(alone: tuple[str, ...], together: str) -> None:
    patches = [(owner, attribute) for name in alone for owner, attribute, _ in MUTANTS[name]]
    assert sorted(map(str, patches)) == sorted(str((owner, attribute)) for owner, attribute, _ in MUTANTS[together])
    assert set(alone) <= HARMLESS.keys() and hunt(together, FIRST_SEED, HUNTED_MAX)[1] != RIGHT


def test_without_fence_and_inbox_both_the_simulation_fails_at_once() -> None:
    with applied("no-fence"), applied("no-inbox"):
        verdicts = [verdict_of(draw(seed)) for seed in range(FIRST_SEED, FIRST_SEED + 20)]
    assert verdicts.count("applied twice") >= 5


# the same seed, the same history


def test_a_history_follows_from_its_seed() -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 60):
        assert History(draw(seed)).run().digest == History(draw(seed), traced=True).run().digest


def test_a_history_does_not_follow_from_the_order_of_hashes() -> None:
    outputs = [run_in_another_process("--histories", "40", hash_seed=hash_seed) for hash_seed in ("1", "4242")]
    digests = [output.split("digest ")[1].split()[0] for output in outputs]
    assert digests[0] == digests[1]


def run_in_another_process(*arguments: str, hash_seed: str = "0", code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "parvis_kit.testing.simulation", *arguments],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_wrong_history_replays_and_shrinks_to_the_same_verdict() -> None:
    name = "hole-unseen"
    seed, verdict = hunt(name, FIRST_SEED, HUNTED_MAX)
    with applied(name):
        whole = draw(seed)
        assert [verdict_of(whole), verdict_of(whole)] == [verdict, verdict]
        small = shrink(whole, verdict_of)
        assert verdict_of(small) == verdict
    assert len(small.faults) < len(whole.faults) or small.changes < whole.changes
    assert verdict_of(whole) == verdict_of(small) == RIGHT


def test_the_command_names_what_goes_wrong_and_how_to_replay_it() -> None:
    output = run_in_another_process("--histories", "3", "--mutant", "no-lane-lock", code=1)
    assert f"{REPLAY} 1 --mutant no-lane-lock" in output
    replayed = run_in_another_process("--trace", "--seed", "1", "--mutant", "no-lane-lock", code=1)
    assert replayed.splitlines()[-1] in output


# the model is held to the databases


@pytest.mark.parametrize("is_file", [False, True], ids=["server", "file"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_model_keeps_the_ledgers_contract(scenario: Scenario, is_file: bool) -> None:
    play(scenario, is_file=is_file)
