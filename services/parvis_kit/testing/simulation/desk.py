"""The model behind the contract's desk: a fake is real when it passes the tests of the real one."""

from collections.abc import Sequence

from parvis_kit.events.ports import Record
from parvis_kit.testing.contract import Bench, Scenario
from parvis_kit.testing.simulation.adapters import ModelLedger
from parvis_kit.testing.simulation.loop import Loop, Process
from parvis_kit.testing.simulation.store import Fact, Session, Store

CALL_SECONDS = 0.001
STEPS_MAX = 20_000


class ModelDesk:
    def __init__(self, store: Store, process: Process) -> None:
        self.store, self.ledger = store, ModelLedger(store, process)

    def fact(self, number: int, lane: int, content: str) -> Fact:
        return Fact(number, lane, number, len(content))

    async def apply(self, tx: Session, records: Sequence[Record]) -> None:
        await self.store.call(tx, self.store.apply, [record.fact for record in records])

    async def story(self, lane: int) -> list[int]:
        return list(self.store.tables["projection"].get(lane, ()))


def play(scenario: Scenario, *, is_file: bool) -> None:
    """Play one scenario on the model, on virtual time. Raises what it raises."""
    loop = Loop()  # type: ignore[abstract]  # sockets and threads are not for here
    process = Process(loop, "one")
    store = Store(loop, lambda: CALL_SECONDS, durable=True, is_file=is_file)

    async def work() -> None:
        try:
            await scenario(Bench(ModelDesk(store, process)))
        finally:
            loop.stop()

    process.spawn(work())
    loop.run(STEPS_MAX)
    process.kill()
    if process.main is None or not process.main.done():
        raise TimeoutError(f"{scenario} has not ended after {loop.steps} steps")
    process.main.result()
    loop.close()
