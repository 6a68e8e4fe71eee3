"""Documents of the kinds and sizes that agents have, made here and always the same: a note, a table, a letter, a page, a picture."""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from random import Random

SUBJECTS = (
    "Compte rendu de réunion", "Note de service", "Budget prévisionnel", "Plan de formation", "Relevé de décisions", "Fiche projet",
    "Convention de partenariat", "Bilan annuel", "Organigramme", "Calendrier des congés",
)  # fmt: skip
SENTENCES = (
    "Les participants approuvent le relevé de décisions de la séance précédente.",
    "Le calendrier de déploiement est maintenu, sous réserve de l'avis du comité.",
    "Les crédits de l'exercice sont répartis entre les directions selon la clé convenue.",
    "Chaque service désigne un correspondant avant la fin du mois.",
    "La prochaine réunion aura lieu en visioconférence.",
    "Les pièces sont déposées dans l'espace partagé de l'équipe.",
)
COLUMNS, LINES, LINES_OF_A_LONG_ONE = ("Mois", "Direction", "Prévu (€)", "Réalisé (€)"), 60, 12_000
PICTURE_SIDE, PHOTO_SIDE = 240, 720
"""A drawing of a kilobyte; and what a camera makes, a megabyte and a half that nothing compresses."""


@dataclass(frozen=True, slots=True)
class Document:
    name: str
    media_type: str
    content: bytes


def document(number: int) -> Document:
    """The same for the same number; five kinds in turn, every second table a long one and every second picture a photograph."""
    random = Random(number)  # noqa: S311 (nothing secret)
    title = f"{SUBJECTS[number % len(SUBJECTS)]} {2024 + number % 3}"
    lines = [random.choice(SENTENCES) for _ in range(10 + number % 30)]
    match number % 5:
        case 0:
            return Document(f"{title}.txt", "text/plain", "\n\n".join([title, *lines, ""]).encode())
        case 1:
            return Document(f"{title}.csv", "text/csv", table(random, LINES if number % 10 == 1 else LINES_OF_A_LONG_ONE))
        case 2:
            return Document(f"{title}.odt", "application/vnd.oasis.opendocument.text", odt(title, lines))
        case 3:
            return Document(f"{title}.pdf", "application/pdf", pdf(title, lines))
        case _:
            return Document(f"{title}.png", "image/png", photo(random) if number % 10 == 9 else drawing(random))


def table(random: Random, lines: int) -> bytes:
    """As Excel FR opens it."""
    rows = [
        (f"{1 + line % 12:02}/2026", f"Direction {1 + line % 5}", random.randrange(10**5), random.randrange(10**5)) for line in range(lines)
    ]
    return "\r\n".join(";".join(map(str, row)) for row in [COLUMNS, *rows]).encode("utf-8-sig")


def odt(title: str, lines: list[str]) -> bytes:
    """OpenDocument 1.3, §3: a package whose first entry says what it is, uncompressed."""
    office = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    text = f"<text:h>{title}</text:h>" + "".join(f"<text:p>{line}</text:p>" for line in lines)
    inner = f"<office:body><office:text>{text}</office:text></office:body>"
    body = f'<office:document-content {office} office:version="1.3">{inner}</office:document-content>'
    kind = "application/vnd.oasis.opendocument.text"
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.3">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
    )
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        for name, content in (("mimetype", kind), ("content.xml", body), ("META-INF/manifest.xml", manifest)):
            entry = zipfile.ZipInfo(name)  # of 1980, so that it is always the same
            package.writestr(entry, content, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return made.getvalue()


def pdf(title: str, lines: list[str]) -> bytes:
    """One page in Helvetica, with a table of its objects (ISO 32000-1, §7.5)."""
    written = "".join(f"({_escaped(line)}) Tj T* " for line in [title, "", *lines][:50])
    stream = f"BT /F1 10 Tf 14 TL 56 786 Td {written}ET".encode("cp1252", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    made, places = bytearray(b"%PDF-1.4\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(made)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def drawing(random: Random) -> bytes:
    """Stripes of colour."""
    colours = [bytes(random.randrange(256) for _ in range(3)) for _ in range(6)]
    return png(PICTURE_SIDE, [colours[row * len(colours) // PICTURE_SIDE] * PICTURE_SIDE for row in range(PICTURE_SIDE)])


def photo(random: Random) -> bytes:
    """Every dot of another colour."""
    return png(PHOTO_SIDE, [random.randbytes(3 * PHOTO_SIDE) for _ in range(PHOTO_SIDE)])


def png(side: int, rows: list[bytes]) -> bytes:
    """PNG, third edition, §5."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    dots = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", dots) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
