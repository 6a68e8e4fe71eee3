"""What a blob store promises, of the folder and of a real S3, to whoever bears a signed URL and to us."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import aiohttp
import pytest
from parvis_files.blobs import AlreadyThere, Away, BlobStore, Missing, PartsMissing, Signed, folder, new_key
from parvis_files.blobs.disk import crc64nvme
from parvis_files.blobs.s3 import Place, S3Store
from parvis_files.blobs.signing import Signer
from parvis_kit.clock import utc_now
from parvis_kit.testing.servers import end, started
from parvis_kit.testing.waiting import until
from yarl import URL

from .stores import KINDS, folder_store, s3_store, store_of

MINUTE = timedelta(minutes=1)
PART_BYTES = 5 * 2**20
"""S3 takes no smaller part but the last."""


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with store_of(request.param, tmp_path, lambda: request.getfixturevalue("s3")) as opened:
        yield opened


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def octets(count: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(count)


def signed_put(store: BlobStore, key: str, content: bytes, ago: timedelta = timedelta()) -> Signed:
    return store.sign_put(key, size_bytes=len(content), sha256=sha256(content).hexdigest(), now=utc_now() - ago, life=MINUTE)


def signed_part(store: BlobStore, key: str, reference: str, number: int, content: bytes) -> Signed:
    crc = crc64nvme(content)
    return store.sign_part(key, reference, number=number, size_bytes=len(content), crc64nvme=crc, now=utc_now(), life=MINUTE)


async def send(client: aiohttp.ClientSession, signed: Signed, body: object, **changed: str | None) -> int:
    """`changed`: headers that are sent otherwise, or, with None, left out."""
    headers = {**signed.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    sent = {name: value for name, value in headers.items() if value is not None}
    async with client.request(signed.method, URL(signed.url, encoded=True), data=body, headers=sent) as answer:
        await answer.read()
        return answer.status


async def content_of(store: BlobStore, key: str, first: int = 0, last: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.read(key, first, last)])


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


# one request


async def test_what_is_sent_as_announced_can_be_read(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(300_000)
    assert await store.look(key) is None
    assert await send(client, signed_put(store, key, content), content) == 200
    found = await store.look(key)
    assert found is not None and (found.key, found.size_bytes) == (key, len(content))
    assert found.sha256 in (None, sha256(content).hexdigest())
    assert abs(found.stored_at - utc_now()) < MINUTE
    assert await content_of(store, key) == content
    assert await content_of(store, key, 1000, 1999) == content[1000:2000]
    assert await content_of(store, key, 299_990) == content[299_990:]


async def test_an_empty_file_is_a_file(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key = new_key()
    assert await send(client, signed_put(store, key, b""), b"") == 200
    assert await content_of(store, key) == b"" and (await store.look(key)) is not None


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b"announced content, and more", {"content_length": "27"}),
        (b"announced", {"content_length": "9"}),
        (b"announced content", {"x_amz_checksum_sha256": None}),
        (b"announced content", {"if_none_match": None}),
        (b"another__ content", {"x_amz_checksum_sha256": b64encode(sha256(b"another__ content").digest()).decode()}),
    ],
    ids=["longer", "shorter", "no checksum", "no condition", "a checksum of one's own"],
)
async def test_what_is_not_as_announced_is_refused_and_leaves_nothing(
    store: BlobStore, client: aiohttp.ClientSession, body: bytes, changed: dict[str, str | None]
) -> None:
    key = new_key()
    assert 400 <= await send(client, signed_put(store, key, b"announced content"), body, **changed) < 500
    assert await store.look(key) is None


async def test_the_same_length_and_another_content_is_refused(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key = new_key()
    assert await send(client, signed_put(store, key, b"announced content"), b"announced_content") == 400
    assert await store.look(key) is None


async def test_what_comes_in_chunks_is_refused(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(10_000)
    assert 400 <= await send(client, signed_put(store, key, content), pieces(content), content_length=None) < 500
    assert await store.look(key) is None


async def test_a_url_used_again_changes_nothing(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(1000)
    signed = signed_put(store, key, content)
    assert await send(client, signed, content) == 200
    assert await send(client, signed, content) == 412
    other = signed_put(store, key, b"x")
    assert await send(client, other, b"x") == 412
    assert await content_of(store, key) == content


async def test_of_racing_writers_exactly_one_wins(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, contents = new_key(), [octets(20_000, seed) for seed in range(16)]
    statuses = await asyncio.gather(*(send(client, signed_put(store, key, one), one) for one in contents))
    assert sorted(statuses)[0] == 200 and statuses.count(200) == 1 and set(statuses) <= {200, 409, 412}
    assert await content_of(store, key) == contents[statuses.index(200)]


async def test_an_expired_url_and_one_that_was_changed_are_refused(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(1000)
    assert await send(client, signed_put(store, key, content, ago=timedelta(hours=1)), content) == 403
    signed = signed_put(store, key, content)
    elsewhere = Signed("PUT", signed.url.replace(key, new_key()), signed.headers, signed.expires_at)
    longer = Signed("PUT", signed.url.replace("60&", "600&", 1) + "0", signed.headers, signed.expires_at)
    for changed in (elsewhere, longer):
        assert changed.url != signed.url
        assert await send(client, changed, content) == 403
    assert await store.look(key) is None


async def test_a_connection_that_is_cut_leaves_nothing(store: BlobStore) -> None:
    key, content = new_key(), octets(200_000)
    signed = signed_put(store, key, content)
    url = urlsplit(signed.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = [f"PUT {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", *(f"{name}: {value}" for name, value in signed.headers.items())]
    writer.write("\r\n".join([*head, "", ""]).encode() + content[:100_000])
    await writer.drain()
    writer.transport.abort()
    writer.close()
    assert await store.look(key) is None
    async with aiohttp.ClientSession() as client:  # and the same URL still serves
        assert await send(client, signed, content) == 200


# reading by URL


async def test_a_download_has_its_name_its_type_and_ranges(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(50_000)
    assert await send(client, signed_put(store, key, content), content) == 200
    name = 'Compte rendu "été" – 50 %.html'
    url = store.sign_get(key, name=name, media_type="text/html", inline=True, now=utc_now(), life=MINUTE)
    async with client.get(URL(url, encoded=True)) as answer:
        assert answer.status == 200 and await answer.read() == content
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert "filename*=UTF-8''Compte%20rendu%20%22%C3%A9t%C3%A9%22%20%E2%80%93%2050%20%25.html" in answer.headers["Content-Disposition"]
    for asked, first, last in (("bytes=100-199", 100, 200), ("bytes=49000-", 49_000, 50_000), ("bytes=-10", 49_990, 50_000)):
        async with client.get(URL(url, encoded=True), headers={"Range": asked}) as answer:
            assert answer.status == 206 and await answer.read() == content[first:last]
    async with client.get(URL(url, encoded=True), headers={"Range": "bytes=60000-"}) as answer:
        assert answer.status == 416
    for asked in ("items=0-1", "bytes=abc", "bytes=1"):
        async with client.get(URL(url, encoded=True), headers={"Range": asked}) as answer:
            assert answer.status == 200 and await answer.read() == content, f"{asked} says nothing that is known: all of it"


async def test_what_can_do_no_harm_is_shown_in_place(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key = new_key()
    assert await send(client, signed_put(store, key, b"%PDF-1.7"), b"%PDF-1.7") == 200
    url = store.sign_get(key, name="a.pdf", media_type="application/pdf", inline=True, now=utc_now(), life=MINUTE)
    async with client.get(URL(url, encoded=True)) as answer:
        assert answer.headers["Content-Disposition"].startswith("inline;")
    old = store.sign_get(key, name="a.pdf", media_type="application/pdf", inline=True, now=utc_now() - timedelta(hours=1), life=MINUTE)
    for refused in (old, url.replace(key, new_key()), url.replace("inline", "attachment")):
        async with client.get(URL(refused, encoded=True)) as answer:
            assert answer.status in (403, 404)
    signed = Signed("PUT", url, {"content-length": "1"}, utc_now())
    assert await send(client, signed, b"x") in (400, 403)  # a URL to read does not write


# many requests


async def test_parts_in_any_order_make_one_object(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, contents = new_key(), [octets(PART_BYTES, 1), octets(PART_BYTES, 2), octets(1234, 3)]
    reference = await store.begin_multipart(key)
    for number in (3, 1, 2):
        signed = signed_part(store, key, reference, number, contents[number - 1])
        assert await send(client, signed, contents[number - 1]) == 200
    parts = await store.parts(key, reference)
    assert [(part.number, part.size_bytes) for part in parts] == [(1, PART_BYTES), (2, PART_BYTES), (3, 1234)]
    assert await store.look(key) is None
    await store.complete_multipart(key, reference, parts)
    await store.complete_multipart(key, reference, parts)
    assert await content_of(store, key) == b"".join(contents)
    found = await store.look(key)
    assert found is not None and found.size_bytes == 2 * PART_BYTES + 1234


async def test_a_part_that_arrives_damaged_is_refused_and_can_be_sent_again(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(PART_BYTES)
    reference = await store.begin_multipart(key)
    signed = signed_part(store, key, reference, 1, content)
    damaged = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
    assert await send(client, signed, damaged) == 400
    assert await store.parts(key, reference) == []
    assert 400 <= await send(client, signed, content[:-1], content_length=str(PART_BYTES - 1)) < 500
    assert await send(client, signed, content) == 200
    assert await send(client, signed, content) == 200  # a part may come twice, when its answer was lost
    parts = await store.parts(key, reference)
    assert [part.number for part in parts] == [1]
    await store.complete_multipart(key, reference, parts)
    assert await content_of(store, key) == content


async def test_an_object_is_not_made_of_parts_that_are_not_there(store: BlobStore, client: aiohttp.ClientSession) -> None:
    key, content = new_key(), octets(PART_BYTES)
    reference = await store.begin_multipart(key)
    assert await send(client, signed_part(store, key, reference, 1, content), content) == 200
    [part] = await store.parts(key, reference)
    with pytest.raises((PartsMissing, Away)):
        await store.complete_multipart(key, reference, [part, replace(part, number=2)])
    assert await store.look(key) is None
    await store.abort_multipart(key, reference)
    await store.abort_multipart(key, reference)
    with pytest.raises(PartsMissing):
        await store.complete_multipart(key, reference, [part])
    assert 400 <= await send(client, signed_part(store, key, reference, 2, content), content) < 500
    assert [one async for one in store.multiparts()] == []


async def test_what_is_left_half_sent_can_be_found(store: BlobStore) -> None:
    begun = {(key, await store.begin_multipart(key)) for key in (new_key(), new_key())}
    found = [one async for one in store.multiparts()]
    assert {(one.key, one.reference) for one in found} == begun
    assert all(abs(one.begun_at - utc_now()) < MINUTE for one in found)


# ours


@pytest.mark.parametrize("sizes", [[], [10], [300_000] * 60, [17 * 2**20]], ids=["none", "one", "many", "large"])
async def test_a_stream_is_written_whole_and_hashed_on_the_way(store: BlobStore, sizes: list[int]) -> None:
    key, given = new_key(), [octets(size, seed) for seed, size in enumerate(sizes)]
    written = await store.write(key, pieces(*given))
    assert (written.size_bytes, written.sha256) == (sum(sizes), sha256(b"".join(given)).hexdigest())
    assert await content_of(store, key) == b"".join(given)
    with pytest.raises(AlreadyThere):
        await store.write(key, pieces(b"other"))
    assert await content_of(store, key) == b"".join(given)


@pytest.mark.parametrize("megabytes", [0, 20])
async def test_a_stream_that_breaks_leaves_nothing(store: BlobStore, megabytes: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield octets(2**20)
        raise RuntimeError("the sender is gone")

    key = new_key()
    with pytest.raises(RuntimeError, match="gone"):
        await store.write(key, broken())
    assert await store.look(key) is None
    assert [one async for one in store.multiparts()] == []


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: BlobStore) -> None:
    key = new_key()
    await store.write(key, pieces(b"once"))
    await store.delete(key)
    await store.delete(key)
    assert await store.look(key) is None
    with pytest.raises(Missing):
        await content_of(store, key)


async def test_all_keys_are_listed_in_order_from_anywhere(store: BlobStore) -> None:
    keys = sorted(new_key() for _ in range(30))
    await asyncio.gather(*(store.write(key, pieces(key.encode())) for key in keys))
    assert [one.key async for one in store.keys()] == keys
    assert [one.key async for one in store.keys(after=keys[9])] == keys[10:]
    assert {one.size_bytes async for one in store.keys()} == {len(keys[0])}


async def test_a_store_in_order_has_nothing_to_complain_of_and_is_prepared_twice(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever makes buckets is not brought along for one that is there."""
    monkeypatch.delattr(S3Store, "_make_bucket")
    assert await store.check() == ""
    await store.prepare()
    assert await store.check() == ""


async def test_a_disk_that_is_nearly_full_takes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with folder_store(tmp_path) as store, aiohttp.ClientSession() as client:
        key, part = new_key(), new_key()
        reference = await store.begin_multipart(part)
        assert await send(client, signed_part(store, part, reference, 1, b"whole"), b"whole") == 200
        parts = await store.parts(part, reference)
        monkeypatch.setattr(folder, "LOW_BYTES", 2**62)
        assert await send(client, signed_put(store, key, b"x"), b"x") == 503
        assert "full" in await store.check()
        for asked in (store.write(key, pieces(b"x")), store.complete_multipart(part, reference, parts)):
            with pytest.raises(Away, match="nearly full"):
                await asked
        monkeypatch.undo()
        assert [one async for one in store.keys()] == []
        await store.complete_multipart(part, reference, parts)
        assert await content_of(store, part) == b"whole"


async def test_a_store_that_is_away_says_so() -> None:
    nowhere = "http://127.0.0.1:9"
    store = S3Store(Place(nowhere, nowhere, "bucket", Signer("key", "secret", "region"), ""), utc_now)
    assert "does not answer" in await store.check()
    for asked in (store.look(new_key()), store.begin_multipart(new_key()), store.prepare(), store.write(new_key(), pieces(b"x"))):
        with pytest.raises(Away):
            await asked
    await store.close()


async def test_a_store_that_is_killed_keeps_all_that_it_acknowledged(s3_script: Path, s3: dict[str, str], tmp_path: Path) -> None:
    """kill -9 while 16 write; what was answered with 200 reads back after the restart."""
    contents = {new_key(): octets(20_000, seed) for seed in range(400)}
    acknowledged: list[str] = []
    with started(s3_script, "--dir", str(tmp_path / "store")) as said:
        async with s3_store(said) as store, aiohttp.ClientSession() as client:
            left = list(contents)

            async def write() -> None:
                while left:
                    key = left.pop()
                    try:
                        if await send(client, signed_put(store, key, contents[key]), contents[key]) == 200:
                            acknowledged.append(key)
                    except (aiohttp.ClientError, OSError):
                        return

            writers = [asyncio.create_task(write()) for _ in range(16)]

            async def some_are_acknowledged() -> bool:
                return len(acknowledged) >= 100

            await until(some_are_acknowledged, "a hundred files are acknowledged")
            await asyncio.to_thread(end, int(said["pid"]))
            await asyncio.wait(writers)
            bucket = store.place.bucket
    assert len(acknowledged) < len(contents), "it was killed in the middle"
    with started(s3_script, "--dir", str(tmp_path / "store")) as said:
        async with s3_store(said) as store:
            store.place = replace(store.place, bucket=bucket)
            for key in acknowledged:
                assert await content_of(store, key) == contents[key]
