"""Our signatures are AWS': its published examples, and a plainer writing of the same rules."""

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parvis_files.blobs.naming import disposition
from parvis_files.blobs.signing import EMPTY_SHA256, UNSIGNED, Signer, canonical, canonical_query, encoded_path

# "Authenticating Requests: Using Query Parameters" and "… the Authorization Header", Amazon S3 API reference
SIGNER = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
HOST = "examplebucket.s3.amazonaws.com"
DAY = datetime(2013, 5, 24, tzinfo=UTC)
WORDS = st.text(alphabet="aZ9-._~/+ =&%é\u20ac!*'()", max_size=20)


def test_the_published_signed_url() -> None:
    query = SIGNER.query("GET", HOST, "/test.txt", now=DAY, life=timedelta(days=1), query={}, headers={})
    assert query.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_the_published_get_of_a_range() -> None:
    sent = SIGNER.headers(
        "GET", HOST, "/test.txt", now=DAY, query="", headers={"Range": "bytes=0-9"}, payload_sha256=EMPTY_SHA256
    )  # fmt: skip
    assert sent["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_the_published_put() -> None:
    headers = {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    payload = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
    sent = SIGNER.headers("PUT", HOST, encoded_path("/test$file.text"), now=DAY, query="", headers=headers, payload_sha256=payload)
    assert sent["authorization"].endswith("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ({"lifecycle": ""}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ({"max-keys": "2", "prefix": "J"}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_the_published_gets_of_a_bucket(query: dict[str, str], signature: str) -> None:
    sent = SIGNER.headers("GET", HOST, "/", now=DAY, query=canonical_query(query), headers={}, payload_sha256=EMPTY_SHA256)
    assert sent["authorization"].endswith(f"Signature={signature}")


@given(st.dictionaries(WORDS.filter(bool), WORDS, max_size=6), st.dictionaries(st.sampled_from(["a-b", "x-y", "range"]), WORDS), WORDS)
def test_any_request_is_signed_as_the_rules_say_when_written_plainly(query: dict[str, str], headers: dict[str, str], key: str) -> None:
    """The rules once more, step by step."""
    path, sent = encoded_path(f"/{key}"), {**headers, "host": HOST}
    lines = [quote(one, safe="-._~").encode() + b"=" + quote(query[one], safe="-._~").encode() for one in query]
    request = "\n".join(
        [
            "GET",
            path,
            b"&".join(sorted(lines, key=lambda line: line.split(b"=")[0])).decode(),
            *(f"{name}:{' '.join(sent[name].split())}" for name in sorted(sent)),
            "",
            ";".join(sorted(sent)),
            UNSIGNED,
        ]
    )
    assert canonical("GET", path, canonical_query(query), sent, UNSIGNED) == request


@pytest.mark.parametrize("life", [timedelta(0), timedelta(days=8)])
def test_a_life_that_s3_would_refuse_is_refused(life: timedelta) -> None:
    with pytest.raises(ValueError, match="lives between"):
        SIGNER.query("GET", HOST, "/a", now=DAY, life=life, query={}, headers={})


def test_nothing_shows_a_secret_by_printing_a_signer() -> None:
    assert SIGNER.secret not in repr(SIGNER)


@given(st.text(max_size=40), st.booleans())
def test_a_name_never_breaks_out_of_its_header(name: str, inline: bool) -> None:
    said = disposition("".join(one for one in name if not 0xD800 <= ord(one) < 0xE000), "text/html", inline=inline)
    assert said.isascii() and said.isprintable() and said.startswith('attachment; filename="')
    assert said.count('"') == 2
