"""Creates small PDF documents byte by byte."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5

UPRIGHT = "[0 0 200 300]"
# The padding of passwords (PDF 1.7, 7.6.3.3).
PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


@dataclass(frozen=True)
class Page:
    """A page. `more` has further entries of its dictionary. `coded` names the filters with which
    the content is already encoded."""

    content: bytes = b""
    box: str = UPRIGHT
    more: str = ""
    coded: str = ""


def text(words: str, x: int = 20, y: int = 250) -> bytes:
    """The content of one line in Helvetica, with characters from Latin-1."""
    escaped = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /F 12 Tf {x} {y} Td ({escaped}) Tj ET\n".encode("latin-1")


def square(color: str, x: int, y: int, side: int = 40) -> bytes:
    return f"{color} rg {x} {y} {side} {side} re f\n".encode()


RED, GREEN, BLUE = "1 0 0", "0 1 0", "0 0 1"


def pdf(
    *pages: Page,
    catalog: str = "",
    trailer: str = "",
    objects: Mapping[int, bytes] | None = None,
    letters: Mapping[str, str] | None = None,
) -> bytes:
    """`catalog` and `trailer` have further entries. `objects` has further objects by number, from
    100. `letters` maps characters of the font to other Unicode characters."""
    first = 10
    numbers = [first + 2 * index for index in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    meaning = "/ToUnicode 4 0 R" if letters else ""
    made = {
        1: f"<</Type/Catalog/Pages 2 0 R{catalog}>>".encode(),
        2: f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        3: f"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding{meaning}>>"
        "".encode(),
        4: stream(meanings(letters or {})),
        **(objects or {}),
    }
    for number, page in zip(numbers, pages, strict=True):
        made[number] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox {page.box}/Contents {number + 1} 0 R"
            f"/Resources<</Font<</F 3 0 R>>>>{page.more}>>"
        ).encode()
        made[number + 1] = stream(page.content, f"/Filter[{page.coded}]" if page.coded else "")
    return assembled(made, trailer)


def stream(data: bytes, more: str = "") -> bytes:
    return f"<</Length {len(data)}{more}>>stream\n".encode() + data + b"\nendstream"


def assembled(objects: Mapping[int, bytes], trailer: str = "") -> bytes:
    data, places = b"%PDF-1.7\n", {}
    for number, value in objects.items():
        places[number] = len(data)
        data += b"%d 0 obj %s endobj\n" % (number, value)
    table = b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in places.items():
        table += b"%d 1\n%010d 00000 n \n" % (number, place)
    size = max(objects) + 1
    end = f"trailer<</Size {size}/Root 1 0 R{trailer}>>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + table + end.encode()


def meanings(letters: Mapping[str, str]) -> bytes:
    """A ToUnicode CMap."""
    lines = [
        f"<{ord(a):02x}> <{b.encode('utf-16-be', 'surrogatepass').hex()}>"
        for a, b in letters.items()
    ]
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /M def",
            "/CMapType 2 def 1 begincodespacerange <00> <ff> endcodespacerange",
            *(f"{len(lines)} beginbfchar", *lines, "endbfchar endcmap end end"),
        ]
    ).encode()


def bomb(content: bytes, times: int, before: bytes = b"") -> Page:
    """Highly compressed data that expands to many repetitions."""
    packed = zlib.compress(zlib.compress(before + content * times, 1), 9)
    return Page(packed, coded="/FlateDecode/FlateDecode")


def locked(page: Page, password: bytes = b"") -> bytes:
    """An encrypted document (RC4, 40 bits) that opens with this password."""
    owner, rights, name = bytes(range(32)), (-4).to_bytes(4, "little", signed=True), b"an id"
    padded = (password + PADDING)[:32]
    key = md5(padded + owner + rights + name).digest()[:5]  # noqa: S324 - required by the format
    content_key = md5(key + (11).to_bytes(3, "little") + bytes(2)).digest()[:10]  # noqa: S324
    security = (
        f"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{owner.hex()}>/U<{rc4(key, PADDING).hex()}>>>"
        f"/ID[<{name.hex()}><{name.hex()}>]"
    )
    return pdf(Page(rc4(content_key, page.content), page.box), trailer=security)


def rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    result = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        result.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(result)
