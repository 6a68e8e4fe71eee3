"""What the homeserver refused for good: operators see it, and send it again."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from parvis_messaging.homeserver import registration
from parvis_messaging.homeserver.port import Failed
from parvis_suite.cli import main

from .bridge import deliver, joined, sender_of, shared, told
from .conftest import SERVER, Town
from .test_delivery import Faulty


async def parvis(town: Town, *words: str) -> Result:
    platform = town.platform
    environ = {"PARVIS_DATA": str(platform.data), "PARVIS_DATABASE_URL": platform.database_url.get_secret_value()}
    return await asyncio.to_thread(CliRunner(env=environ).invoke, main, ["messaging", *words])


@pytest.fixture
async def refused(town: Town) -> Faulty:
    """One message for bob, which the homeserver has refused."""
    await joined(town, "bob")
    await deliver(town)
    await town.sign_in("bob")
    faulty = Faulty(sender_of(town).bridge.server)
    sender_of(town).bridge.server = faulty
    faulty.failures = [Failed(403, "M_FORBIDDEN")]
    await town.hears(shared(town, "ada", "bob", name="un"))
    await deliver(town)
    return faulty


async def test_what_is_parked_is_listed_and_sent_again_once(town: Town, refused: Faulty) -> None:
    [line] = (await parvis(town, "parked")).output.splitlines()
    number = line.split()[0]
    assert f"agent:{town.ids['bob']}" in line and "file_shared" in line and line.endswith("M_FORBIDDEN")
    assert "un" not in line.split(), "ids and reasons, no content"
    assert "1 messages" in await town.messaging.outside["deliveries"]()
    assert (await parvis(town, "replay", number, "--dry-run")).output == f"would send {number} again: file_shared for {line.split()[3]}\n"
    await deliver(town)
    assert len(await told(town, "bob")) == 1
    assert (await parvis(town, "replay", "--all")).exit_code == 0
    await deliver(town)
    assert len(await told(town, "bob")) == 2
    assert len(set(refused.sent)) == 1
    assert (await parvis(town, "parked")).output == "nothing is parked\n"
    assert await town.messaging.outside["deliveries"]() == ""


@pytest.mark.usefixtures("refused")
async def test_a_number_that_is_not_there_and_no_number_at_all_are_refused(town: Town) -> None:
    unknown = await parvis(town, "replay", "9999")
    assert unknown.exit_code == 2 and "nothing is parked under number 9999" in unknown.output
    assert (await parvis(town, "replay")).exit_code == 2


async def test_a_registration_is_made_once_for_its_owner_s_eyes(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "registration.json"
    made = await parvis(town, "registration", "--url", "http://messaging:8000/", "--server-name", SERVER, "--write", str(path))
    assert made.exit_code == 0, made.output
    found = registration.read(path)
    assert found.url == "http://messaging:8000" and found.bot == "parvis"
    assert path.stat().st_mode & 0o777 == 0o600
    assert found.as_token not in made.output and found.hs_token not in made.output and found.as_token not in repr(found)
    again = await parvis(town, "registration", "--url", "http://messaging:8000", "--write", str(path))
    assert again.exit_code == 2 and registration.read(path) == found


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"url": "", "sender_localpart": "", "as_token": "aaaaaaaaa", "hs_token": "aaaaaaaaa"}', "\udcff"]
)
def test_a_file_that_is_no_registration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registration.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(registration.RegistrationRefused):
        registration.read(path)
    with pytest.raises(registration.RegistrationRefused):
        registration.read(tmp_path / "nowhere")
