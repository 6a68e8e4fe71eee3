"""Tokens and app passwords: what is ours is read, and whatever else is handed over is refused and breaks nothing."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry
from parvis_kit.access import (
    TOKEN_LIFE,
    Claims,
    UnknownKey,
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
from parvis_kit.problems import Unauthorized

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KEY, OTHER = make_key(), make_key()
KEYS = {KEY.kid: public_key(public_jwk(KEY))}
AGENT, SESSION, MINISTRY = uuid4(), uuid4(), uuid4()


def claims(**changes: Any) -> Claims:
    made = claims_of(
        agent_id=AGENT, session_id=SESSION, ministry_id=MINISTRY, roles=("agent",), scopes=frozenset({"files:read"}), issuer="us", now=NOW
    )
    return made.model_copy(update=changes)


def check(token: str, *, now: datetime = NOW, keys: Mapping[str, RSAKey] = KEYS, issuer: str = "us") -> Claims:
    return verify(token, keys, issuer=issuer, now=now)[0]


def signed_with(header: dict[str, Any], key: RSAKey = KEY) -> str:
    """A token whose header says anything at all, with a signature that is right for it."""
    free = RSAKey.import_key(key.as_pem(private=True))
    registry = JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    registry.max_header_length = 4096
    return jws.serialize_compact(header, claims().model_dump_json(), free, registry=registry)


def encoded(part: object) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_a_token_says_who_signed_in() -> None:
    read = check(sign(claims(), KEY))
    assert (read.sub, read.sid, read.ministry, read.scopes) == (AGENT, SESSION, MINISTRY, {"files:read"})


def test_a_token_lives_for_ten_minutes() -> None:
    token = sign(claims(), KEY)
    check(token, now=NOW + TOKEN_LIFE - timedelta(seconds=1))
    with pytest.raises(Unauthorized):
        check(token, now=NOW + TOKEN_LIFE)


@pytest.mark.parametrize(
    ("why", "token"),
    [
        ("it is of another installation", sign(claims(iss="them"), KEY)),
        ("it is for another audience", sign(Claims.model_construct(**{**claims().model_dump(), "aud": "others"}), KEY)),
        ("it is not valid yet", sign(claims(iat=int(NOW.timestamp()) + 3600), KEY)),
        ("it has expired", sign(claims(exp=int(NOW.timestamp())), KEY)),
        ("it names no key", signed_with({"alg": "RS256", "typ": "at+jwt"})),
        ("it is another kind of token", signed_with({"alg": "RS256", "typ": "JWT", "kid": KEY.kid})),
        ("it has no type", signed_with({"alg": "RS256", "kid": KEY.kid})),
        ("it asks for another algorithm", signed_with({"alg": "PS256", "typ": "at+jwt", "kid": KEY.kid})),
        ("it names our key and another signed it", signed_with({"alg": "RS256", "typ": "at+jwt", "kid": KEY.kid}, OTHER)),
        ("its header is longer than any of ours", signed_with({"alg": "RS256", "typ": "at+jwt", "kid": KEY.kid, "x": "x" * 512})),
        ("it is endless", "a" * 100_000),
    ],
)
def test_a_token_is_refused_when(why: str, token: str) -> None:
    with pytest.raises(Unauthorized):
        check(token)


def test_a_token_that_was_good_is_refused_when_its_key_is_another_one() -> None:
    """What was checked once is remembered of the very key that signed, not of its name."""
    token, public = sign(claims(), KEY), public_key(public_jwk(KEY))
    assert check(token, keys={KEY.kid: public}) == check(token, keys={KEY.kid: public})
    with pytest.raises(Unauthorized):
        check(token, keys={KEY.kid: public_key(public_jwk(OTHER))})
    with pytest.raises(UnknownKey):
        check(token, keys={})
    assert check(token).sub == AGENT


def test_a_token_that_was_refused_once_is_refused_again() -> None:
    forged = signed_with({"alg": "RS256", "typ": "at+jwt", "kid": KEY.kid}, OTHER)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            check(forged)


def test_a_token_without_a_signature_is_refused() -> None:
    for header in ({"alg": "none", "typ": "at+jwt", "kid": KEY.kid}, {"alg": "none"}):
        with pytest.raises(Unauthorized):
            check(f"{encoded(header)}.{encoded(claims().model_dump(mode='json'))}.")


def test_the_public_key_does_not_pass_for_a_shared_secret() -> None:
    """The classic confusion: HS256 with the public key, which everybody has."""
    said = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': KEY.kid})}.{encoded(claims().model_dump(mode='json'))}"
    seal = hmac.HMAC(KEY.as_pem(private=False), hashes.SHA256())
    seal.update(said.encode())
    with pytest.raises(Unauthorized):
        check(f"{said}.{urlsafe_b64encode(seal.finalize()).rstrip(b'=').decode()}")


def test_a_changed_claim_breaks_the_signature() -> None:
    header, body, signature = sign(claims(), KEY).split(".")
    said = json.loads(urlsafe_b64decode(body + "=="))
    with pytest.raises(Unauthorized):
        check(".".join((header, encoded({**said, "roles": ["operator"]}), signature)))


def test_a_key_that_is_not_at_hand_is_told_apart_so_that_it_can_be_looked_up() -> None:
    with pytest.raises(UnknownKey) as unknown:
        check(sign(claims(), OTHER))
    assert unknown.value.kid == OTHER.kid


@settings(deadline=None)
@given(st.text(max_size=300) | st.lists(st.text(max_size=60), min_size=3, max_size=3).map(".".join))
def test_garbage_is_refused_and_breaks_nothing(token: str) -> None:
    with pytest.raises(Unauthorized):
        check(token)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={name: JSON for name in ("alg", "typ", "kid", "crit", "b64", "jwk")}) | JSON, JSON)
def test_headers_of_any_shape_are_refused_and_break_nothing(header: object, body: object) -> None:
    with pytest.raises(Unauthorized):
        check(f"{encoded(header)}.{encoded(body)}.AAAA")


@settings(deadline=None)
@given(JSON | st.dictionaries(st.sampled_from(sorted(Claims.model_fields)), JSON))
def test_claims_of_any_shape_are_refused_and_break_nothing(body: object) -> None:
    token = jws.serialize_compact({"alg": "RS256", "typ": "at+jwt", "kid": SMALL.kid}, json.dumps(body), SMALL)
    with pytest.raises(Unauthorized):
        check(token, keys={SMALL.kid: SMALL})


SMALL = RSAKey.generate_key(2048, auto_kid=True)
"""Signs faster: hypothesis asks for many."""


def test_a_private_key_is_not_taken_for_a_public_one() -> None:
    with pytest.raises(ValueError, match="public half"):
        public_key({name: str(value) for name, value in KEY.as_dict(private=True).items()})
    assert not {"d", "p", "q", "dp", "dq", "qi"} & public_jwk(KEY).keys()


def test_an_app_password_is_known_by_its_digest() -> None:
    password = make_app_password()
    read = read_app_password(str(password))
    assert read == password
    assert check_app_password(read, password.digest)
    assert not check_app_password(make_app_password(), password.digest)


def test_an_app_password_is_not_shown_by_accident() -> None:
    password = make_app_password()
    assert password.secret not in repr(password)


def test_an_app_password_has_256_bits_that_nobody_else_has() -> None:
    passwords = [make_app_password() for _ in range(200)]
    assert len({one.secret for one in passwords}) == len({one.prefix for one in passwords}) == 200
    assert all(len(urlsafe_b64decode(one.secret + "=")) == 32 for one in passwords)


@settings(deadline=None)
@given(st.text(max_size=200) | st.text(max_size=40).map(lambda text: f"parvis_abcdefghijkl_{text}"))
def test_what_is_no_app_password_is_refused(text: str) -> None:
    try:
        read = read_app_password(text)
    except Unauthorized:
        return
    assert not check_app_password(read, make_app_password().digest)


def test_ids_in_claims_are_ids() -> None:
    assert isinstance(check(sign(claims(), KEY)).sub, UUID)
