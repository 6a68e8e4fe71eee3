"""Two agents and a token for each, made by the version of Parvis whose modules are on the path: it alone knows its tables.

Run as a program, with the platform's variables: a JSON list of ids, and one of tokens, on standard output.
"""

import asyncio
import json
import os
from pathlib import Path

from parvis_directory import actions
from parvis_kit.settings import Platform
from parvis_suite.demo import MINISTRIES, ROOT, ensure_ministry, make_tokens
from parvis_suite.services import build
from pydantic import SecretStr


async def main() -> None:
    url = SecretStr(os.environ["PARVIS_DATABASE_URL"])
    platform = Platform(data=Path(os.environ["PARVIS_DATA"]), database_url=url, public_url=os.environ["PARVIS_PUBLIC_URL"])
    directory = build("directory", platform)
    try:
        for prepare in directory.before:
            await prepare()
        ministry, people = await ensure_ministry(directory.database, ROOT, MINISTRIES[0], directory.clock), []
        for given in ("ada", "bob"):
            new = actions.NewPerson(ministry.id, None, "agent", f"{given}@example.org", given.title(), "Essai", "fr", [], None)
            async with directory.database.transaction() as tx:
                people.append(await actions.create_agent(tx, ROOT, new, now=directory.clock()))
        print(json.dumps([[str(one.id) for one in people], await make_tokens(directory, people, directory.clock)]))
    finally:
        await directory.database.close()


if __name__ == "__main__":
    asyncio.run(main())
