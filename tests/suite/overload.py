"""More requests at once than a service can answer: what becomes of each, told by its status, its wait and its Retry-After."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Answered:
    """What came back."""

    accepted: list[float] = field(default_factory=list)
    """Seconds that each took which was answered with what it asked for."""
    refused: list[float] = field(default_factory=list)
    """Those of 503 with Retry-After."""
    wrong: list[str] = field(default_factory=list)
    """Any other end."""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.accepted) / self.seconds

    def percentile(self, share: float) -> float:
        """Of the accepted, in milliseconds."""
        return 1000 * sorted(self.accepted)[int(share * (len(self.accepted) - 1))]

    def told(self) -> str:
        p50, p99 = (f"{self.percentile(share):.0f} ms" for share in (0.5, 0.99))
        return (
            f"{self.rate:.0f}/s accepted, p50 {p50}, p99 {p99}; {len(self.refused) / self.seconds:.0f}/s refused, {len(self.wrong)} wrong"
        )


async def ask_for(url: str, token: str, *, at_once: int, seconds: float, rate: float | None = None) -> Answered:
    """So many connections, each of which asks as soon as it is answered; with `rate`, no more a second than that in all."""
    where, answered = urlsplit(url), Answered()
    head = f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    began = time.monotonic()
    pause = at_once / rate if rate else 0.0

    async def one(number: int) -> None:
        reader = writer = None
        due = began + pause * number / at_once
        while (now := time.monotonic()) < began + seconds:
            if pause and due > now:
                await asyncio.sleep(due - now)
            due += pause
            asked = time.monotonic()
            try:
                if writer is None or reader is None:
                    reader, writer = await asyncio.open_connection(where.hostname, where.port)
                writer.write(head)
                status, again, closes = await read_answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                answered.wrong.append(f"{type(error).__name__}: {error}")
                reader = writer = None
                continue
            took = time.monotonic() - asked
            if status == 200:
                answered.accepted.append(took)
            elif status == 503 and again:
                answered.refused.append(took)
            else:
                answered.wrong.append(str(status))
            if closes:
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*map(one, range(at_once)))
    answered.seconds = time.monotonic() - began
    return answered


def memory_bytes(pid: int) -> int:
    """Resident, of a process."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool, bool]:
    """Its status, whether it says when to come again, and whether it was the connection's last."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    lines = head.split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1]), b"\r\nretry-after:" in head, b"connection: close" in head
