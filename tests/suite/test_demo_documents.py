"""The demonstration's documents are what their types say, to whoever opens them."""

import struct
import zipfile
import zlib
from io import BytesIO

from parvis_suite.demo_documents import document

DOCUMENTS = [document(number) for number in range(20)]


def of_type(media_type: str) -> list[bytes]:
    found = [one.content for one in DOCUMENTS if one.media_type == media_type]
    assert found
    return found


def test_the_same_number_is_the_same_document() -> None:
    assert DOCUMENTS == [document(number) for number in range(20)]


def test_a_letter_is_a_package_that_says_first_what_it_is() -> None:
    for content in of_type("application/vnd.oasis.opendocument.text"):
        with zipfile.ZipFile(BytesIO(content)) as package:
            assert package.testzip() is None and package.namelist()[0] == "mimetype" and b"<text:p>" in package.read("content.xml")


def test_a_picture_has_as_many_dots_as_it_says() -> None:
    for content in of_type("image/png"):
        place, kinds, data = 8, [], b""
        while place < len(content):
            (length,), kind = struct.unpack(">I", content[place : place + 4]), content[place + 4 : place + 8]
            assert (
                zlib.crc32(content[place + 4 : place + 8 + length])
                == struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0]
            )
            kinds.append(kind)
            data = content[place + 8 : place + 8 + length] if kind == b"IDAT" else data
            place += 12 + length
        side = struct.unpack(">II", content[16:24])
        assert kinds == [b"IHDR", b"IDAT", b"IEND"] and len(zlib.decompress(data)) == side[1] * (1 + 3 * side[0])


def test_a_page_has_its_objects_where_its_table_says() -> None:
    for content in of_type("application/pdf"):
        start = int(content.rpartition(b"startxref\n")[2].split()[0])
        places = [int(line.split()[0]) for line in content[start:].split(b"\n")[3:8]]
        assert content[start:].startswith(b"xref") and [content[place:].split()[0] for place in places] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_table_has_four_columns_in_each_line() -> None:
    sizes = set()
    for content in of_type("text/csv"):
        lines = content.decode("utf-8-sig").split("\r\n")
        assert {line.count(";") for line in lines} == {3}
        sizes.add(len(lines))
    assert sizes == {61, 12_001}
