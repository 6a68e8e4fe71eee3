"""What the DNS says: TXT records, asked of the installation's own resolvers, with limits on time and size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from parvis_kit.problems import Unavailable

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

ANSWER_SECONDS_MAX = 5.0
"""In all; an administrator waits for it."""
TRY_SECONDS_MAX = 2.0
"""For each resolver that is asked."""
RECORDS_MAX = 50
CHARACTERS_MAX = 512
"""What is longer, or more, proves nothing of ours."""


class NameServer:
    """Asks these resolvers (addresses), or those of the machine."""

    def __init__(self, addresses: Sequence[str] = (), port: int = 53) -> None:
        self.addresses, self.port = list(addresses), port

    async def texts(self, name: str) -> list[str]:
        """The TXT records of a name; none when there is none. Raises Unavailable when nobody answers."""
        await asyncio.to_thread(import_module, "dns.asyncresolver")  # 6 MB and 0.2 s: most processes never ask
        from dns.exception import DNSException
        from dns.resolver import NXDOMAIN, NoAnswer

        try:
            answer = await self._resolver().resolve(f"{name}.", "TXT", search=False)
        except (NXDOMAIN, NoAnswer):
            return []
        except (DNSException, OSError) as error:
            raise Unavailable(f"No name server says whether {name} has a TXT record: ask again later.", retry_after_seconds=60) from error
        joined = (b"".join(record.strings) for record in list(answer)[:RECORDS_MAX])
        return [text.decode("ascii", "replace") for text in joined if len(text) <= CHARACTERS_MAX]

    def _resolver(self) -> Resolver:
        """A new one each time: the machine's may have changed, and one question a day needs no cache."""
        from dns.asyncresolver import Resolver

        resolver = Resolver(configure=not self.addresses)
        if self.addresses:
            resolver.nameservers, resolver.port = list(self.addresses), self.port
        resolver.lifetime, resolver.timeout = ANSWER_SECONDS_MAX, TRY_SECONDS_MAX
        return resolver
