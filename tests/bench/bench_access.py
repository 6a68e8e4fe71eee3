"""What it costs to check a token or an app password, beside the bare arithmetic.  python tests/bench/bench_access.py"""

import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256
from uuid import uuid4

from _bars import exit_status, say
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from parvis_kit.access import (
    _seen,
    check_app_password,
    claims_of,
    make_app_password,
    make_key,
    public_jwk,
    public_key,
    read_app_password,
    sign,
    verify,
)
from parvis_kit.clock import utc_now

ROUNDS, TIMES = 5, 2_000


def cpu_us(act: Callable[[], object]) -> float:
    """CPU microseconds of one call, the best of a few rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TIMES):
            act()
        found.append((time.process_time() - began) / TIMES * 1e6)
    return min(found)


def main() -> int:
    private = make_key()
    public = public_key(public_jwk(private))
    now = utc_now()
    token = sign(
        claims_of(
            agent_id=uuid4(),
            session_id=uuid4(),
            ministry_id=uuid4(),
            roles=("agent",),
            scopes=frozenset({"directory:read"}),
            issuer="us",
            now=now,
        ),
        private,
    )
    signed, _, signature = token.rpartition(".")
    bare, raw, message = public.get_op_key("verify"), urlsafe_b64decode(signature + "=="), signed.encode()
    assert isinstance(bare, RSAPublicKey)
    text = str(make_app_password())
    digest = read_app_password(text).digest
    padding, hashed, keys = PKCS1v15(), SHA256(), {private.kid: public}

    def check_new() -> None:
        """A token that was not seen before."""
        _seen.cache_clear()
        verify(token, keys, issuer="us", now=now)

    for name, bar, act, floor in (
        ("token check, the first time", 150, check_new, lambda: bare.verify(raw, message, padding, hashed)),
        ("token check, seen before", 150, lambda: verify(token, keys, issuer="us", now=now), lambda: sha256(message).digest()),
        ("app password check", 100, lambda: check_app_password(read_app_password(text), digest), lambda: sha256(text.encode()).hexdigest()),
    ):
        ours, theirs = cpu_us(act), cpu_us(floor)
        figure = f"{ours:.1f} µs CPU, bare arithmetic {theirs:.1f} µs, × {ours / theirs:.2f}"
        say(name, figure, f"≤ {bar} µs", ours <= bar)
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
