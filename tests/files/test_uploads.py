"""Uploads by their doors: declared, sent, completed, read back; and what is refused."""

from .conftest import Office


async def test_what_is_sent_can_be_read_back_and_it_is_told(office: Office) -> None:
    done = await office.store(office.root("ada"), "rapport.pdf", b"content", by="ada", media_type="application/pdf")
    assert await office.content(done["file_id"], by="ada") == b"content"
    assert await office.names(office.root("ada"), by="ada") == ["rapport.pdf"]
    assert await office.quota("ada") == (7, 0)
    assert (await office.said())[-1] == "file.stored.v1"
