"""Many histories, each from a seed; or one of them, step by step; or hunts for what each removed protection lets through.

python -m parvis_kit.testing.simulation --histories 2000 --seed 1
python -m parvis_kit.testing.simulation --seed 17 --trace [--shrink]      one history, its faults and its verdict
python -m parvis_kit.testing.simulation --mutant no-fence --shrink        the first that goes wrong without the fence
python -m parvis_kit.testing.simulation --mutants                         how many seeds until each is caught
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from hashlib import blake2b

from parvis_kit.testing.simulation.checker import RIGHT, Outcome
from parvis_kit.testing.simulation.history import History, verdict_of
from parvis_kit.testing.simulation.mutants import HARMLESS, MUTANTS, applied, hunt
from parvis_kit.testing.simulation.plan import draw, shrink

PROGRESS_SECONDS = 2.0
SHOWN_MAX = 10
HUNTS = 11
"""From as many first seeds is each mutant hunted: the median says how wide its window is."""
APART = 1_000_000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m parvis_kit.testing.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=2_000, metavar="N", help="how many (default 2000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first of the seeds (default 1)")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), metavar="NAME", help=f"without a protection: {', '.join(sorted(MUTANTS))}")
    parser.add_argument("--mutants", action="store_true", help="hunt each mutant from several first seeds")
    parser.add_argument("--trace", action="store_true", help="one history, its faults and its verdict")
    parser.add_argument("--shrink", action="store_true", help="make the first failing plan smaller")
    parser.add_argument("--twice", action="store_true", help="run each seed twice and compare")
    arguments = parser.parse_args(argv)
    if arguments.mutants:
        return hunt_all(arguments.histories)
    with applied(arguments.mutant):
        if arguments.trace:
            return trace(arguments.seed, arguments.shrink)
        return many(arguments)


def many(arguments: argparse.Namespace) -> int:
    outcomes, wrong, differing = [], [], []
    started, shown_at = time.process_time(), time.monotonic()
    digest = blake2b(digest_size=8)
    for seed in range(arguments.seed, arguments.seed + arguments.histories):
        outcome = History(draw(seed)).run()
        digest.update(repr(outcome.digest).encode())
        outcomes.append(outcome)
        if arguments.twice and History(draw(seed)).run().digest != outcome.digest:
            differing.append(seed)
            print(f"seed {seed} differs from itself")
        if outcome.verdict != RIGHT:
            wrong.append(seed)
            if len(wrong) <= SHOWN_MAX:
                print(f"seed {seed}: {outcome.verdict}: {outcome.detail}\n  {command(seed, arguments.mutant)}", flush=True)
        if time.monotonic() - shown_at > PROGRESS_SECONDS:
            shown_at = time.monotonic()
            print(f"{len(outcomes)} of {arguments.histories} histories, {len(wrong)} wrong", file=sys.stderr, flush=True)
    report(outcomes, wrong, time.process_time() - started, digest.hexdigest())
    if wrong and arguments.shrink:
        trace(wrong[0], True)
    return 1 if wrong or differing else 0


def command(seed: int, mutant: str | None) -> str:
    """What replays a history."""
    return f"python -m parvis_kit.testing.simulation --trace --seed {seed}" + (f" --mutant {mutant}" if mutant else "")


def report(outcomes: list[Outcome], wrong: list[int], seconds: float, digest: str) -> None:
    number = len(outcomes)
    steps, virtual = sum(one.steps for one in outcomes), sum(one.seconds for one in outcomes)
    print(f"{number} histories, {len(wrong)} wrong, {seconds:.1f} s of CPU: {number / seconds:.0f} histories/s; digest {digest}")
    print(
        f"a history: {steps / number:.0f} steps, {virtual / number:.1f} virtual s, "
        f"{sum(one.facts for one in outcomes) / number:.0f} facts, {sum(one.records for one in outcomes) / number:.0f} records in the log"
    )
    print(f"{steps / seconds:.0f} steps/s; virtual time runs {virtual / seconds:.0f} times real time")
    if wrong:
        print(f"wrong seeds: {' '.join(map(str, wrong))}")


def trace(seed: int, is_shrunk: bool) -> int:
    plan = draw(seed)
    plan = shrink(plan, verdict_of) if is_shrunk else plan
    print(plan)
    outcome = History(plan, traced=True).run()
    print("\n".join(outcome.trace))
    print(f"{outcome.verdict}: {outcome.detail}")
    return 0 if outcome.verdict == RIGHT else 1


def hunt_all(histories_max: int) -> int:
    """Those that another protection makes harmless get one long try."""
    surprises = 0
    for name in sorted(MUTANTS, key=lambda name: (name in HARMLESS, name)):
        started = time.process_time()
        firsts = [APART * place for place in range(1 if name in HARMLESS else HUNTS)]
        found = [hunt(name, first, histories_max) for first in firsts]
        seconds = (time.process_time() - started) / len(found)
        tries = [seed - first + 1 for first, (seed, _) in zip(firsts, found, strict=True)]
        verdicts = ", ".join(f"{verdict} {times}" for verdict, times in Counter(verdict for _, verdict in found).most_common())
        surprises += (RIGHT in verdicts) != (name in HARMLESS)
        print(f"{name:26} median {statistics.median(tries):5.0f}  worst {max(tries):5}  {seconds:6.2f} s each  {verdicts}", flush=True)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
