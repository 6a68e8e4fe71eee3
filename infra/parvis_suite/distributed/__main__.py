"""`python -m parvis_suite.distributed up | down`: what `make up-distributed` and `make down` run."""

import asyncio
import os
import signal
import subprocess  # noqa: S404
import sys
import time
from functools import partial
from pathlib import Path

import click

from parvis_suite.distributed.plan import new_plan
from parvis_suite.distributed.supervisor import STATE_FILE, Supervisor, outline, running_at
from parvis_suite.plainly import Refusal, plainly

START_SECONDS_MAX = 600.0
"""The first time fetches the servers, from a slow mirror perhaps."""
STOP_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.2
LINES_SHOWN = 25
ROOT = Path(__file__).resolve().parents[3]

folder_option = click.option(
    "--data", type=click.Path(path_type=Path), default=Path("data/distributed"), show_default=True, envvar="PARVIS_DATA",
    help="Where everything lies: data, logs, secrets, demo.json.",
)  # fmt: skip


@click.group()
def main() -> None:
    """The distributed shape on this machine: real servers, each service a process, a proxy in front."""


@main.command()
@folder_option
@click.option("--port", default=8080, show_default=True, envvar="PARVIS_PORT", help="Where agents come in.")
@click.option("--demo/--no-demo", default=True, help="With the three demonstration ministries.")
def up(data: Path, port: int, demo: bool) -> None:
    """Start it, and come back when it is ready; `down` stops it."""
    data = data.absolute()
    if state := running_at(data):
        raise Refusal(f"it runs already, at {state['base_url']}: `make down` stops it")
    data.mkdir(parents=True, exist_ok=True, mode=0o711)
    (data / STATE_FILE).unlink(missing_ok=True)
    log = data / "supervisor.log"
    command = [sys.executable, "-m", "parvis_suite.distributed", "supervise", "--data", str(data), "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [*command, "--demo" if demo else "--no-demo"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    shown: set[str] = set()
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        state = running_at(data) or {"processes": {}, "complete": False}
        for name, one in state["processes"].items():
            if one["ready"] and name not in shown:
                shown.add(name)
                click.echo(outline([(name, one)]))
        if state["complete"]:
            click.echo(f"the suite is at {state['base_url']}; logs in {data / 'logs'}; `make down` stops it")
            return
        if process.poll() is not None:
            raise Refusal("it could not be started:\n" + "\n".join(log.read_text().splitlines()[-LINES_SHOWN:]))
        time.sleep(LOOK_SECONDS)
    raise Refusal(f"it was not ready after {START_SECONDS_MAX:.0f} s: see {log} and {data / 'logs'}")


@main.command()
@folder_option
def down(data: Path) -> None:
    """Stop it: no request at work is lost, and its data stay."""
    state = running_at(data.absolute())
    if state is None:
        click.echo("it does not run")
        return
    os.kill(state["supervisor"], signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS_MAX
    while running_at(data.absolute()):
        if time.monotonic() > until:
            raise Refusal(f"process {state['supervisor']} does not end: see {data / 'supervisor.log'}")
        time.sleep(LOOK_SECONDS)
    click.echo("stopped")


@main.command(hidden=True)
@folder_option
@click.option("--port", default=8080)
@click.option("--demo/--no-demo", default=True)
@click.option("--kafka/--no-kafka", default=True)
@plainly
def supervise(data: Path, port: int, demo: bool, kafka: bool) -> None:
    """In the foreground, until SIGTERM."""
    from parvis_kit.logs import set_up_logs

    from parvis_suite.assembly import own

    set_up_logs()
    os.umask(0o022)
    with own(data.absolute()):
        data.absolute().chmod(0o711)  # servers that root starts as nobody have their folders in it
        asyncio.run(Supervisor(new_plan(ROOT, data.absolute(), port, kafka=kafka)).run(demo=demo))


@main.command(hidden=True)
@click.option("--base-url", required=True)
@plainly
def seed(base_url: str) -> None:
    """The demonstration, through the public doors; demo.json is written last."""
    from parvis_kit.serve import Addresses

    from parvis_suite.assembly import DEMO_FILE, settled, write_private
    from parvis_suite.demo import seed as seed_all
    from parvis_suite.plainly import chosen, platform_of

    platform = platform_of()

    async def work() -> None:
        services = chosen((), platform)
        try:
            content = await partial(seed_all, folder=platform.data)(services, Addresses(base_url, ""))
            await settled(services, platform, are_here=False)
            write_private(platform.data / DEMO_FILE, content)
        finally:
            for each in services:
                await each.database.close()

    asyncio.run(work())


if __name__ == "__main__":
    main()
