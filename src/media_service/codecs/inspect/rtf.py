"""Reads the text of an RTF, for searches. Runs in a child process.

It reads what a reader of the page sees, in the code page and the Unicode characters that the file
states. Pictures, fonts, fields and all else that RTF marks as ignorable is skipped.
"""

import codecs
import re
from collections.abc import Iterator
from mmap import mmap

# Whichever of the names matched last is the kind of the token.
TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32}(?:-?[0-9]{1,10})?) ?"
    rb"|\\'(?P<byte>[0-9a-fA-F]{2})|\\(?P<symbol>.)|(?P<brace>[{}])|(?P<plain>[^\\{}]{1,65536})",
    re.DOTALL,
)
WORD = re.compile(rb"([a-zA-Z]+)(-?[0-9]*)")
# These take a second. What is shown first has far fewer.
MAX_TOKENS = 300_000
# Groups that begin with these words, or with `\*`, are not on the page.
HIDDEN = set(
    b"fonttbl colortbl stylesheet filetbl listtable listoverridetable revtbl rsidtbl xmlnstbl info"
    b" pict object fldinst themedata datastore generator".split()
)
CHARACTERS = {
    **dict.fromkeys(b"par sect page line softline softpage".split(), " "),
    **dict.fromkeys(b"tab cell nestcell row column emspace enspace".split(), " "),
    b"emdash": "—",
    b"endash": "\u2013",
    b"bullet": "•",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "“",
    b"rdblquote": "”",
}
SYMBOLS = {b"~": " ", b"_": "-", b"\n": " ", b"\r": " ", b"{": "{", b"}": "}", b"\\": "\\"}
CODE_PAGES = {b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850", b"ansi": "cp1252"}
MOST_FALLBACKS = 10


def rtf_text(data: bytes | mmap, most: int) -> str:
    """About the first `most` characters."""
    found: list[str] = []
    size = 0
    for piece in RtfReader(data).pieces():
        found.append(piece)
        size += len(piece)
        if size >= most:
            break
    units = "".join(found).encode("utf-16-le", "surrogatepass")  # joins the halves of characters
    return " ".join(units.decode("utf-16-le", "ignore").split())


def code_page(number: int) -> str:
    """The codec of Python for a code page; that of Windows if there is none."""
    try:
        return codecs.lookup(f"cp{number}").name
    except LookupError:
        return "cp1252"


class RtfReader:
    """`hidden`: how many groups are open that are not on the page. `fallbacks`: for each open
    group, how many characters follow one in Unicode for readers that do not know it; `skip`: how
    many of these are still to come."""

    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._encoding = "cp1252"
        self._waiting = bytearray()  # one character may be two bytes, written one by one
        self._fallbacks = [1]
        self._hidden = self._skip = 0

    def pieces(self) -> Iterator[str]:
        kinds = {
            "word": self._word,
            "byte": self._byte,
            "symbol": self._symbol,
            "brace": self._brace,
            "plain": self._plain,
        }
        at = 0
        for _ in range(MAX_TOKENS):
            token = TOKEN.match(self._data, at)
            if token is None or token.lastgroup is None:
                break
            kind, value = token.lastgroup, token[token.lastgroup]
            at = token.end() + binary_size(value) * (kind == "word")
            if kind != "byte":
                yield self._decoded()
            yield kinds[kind](value)
        yield self._decoded()

    def _decoded(self) -> str:
        text = self._waiting.decode(self._encoding, "ignore")
        self._waiting.clear()
        return text

    def _brace(self, value: bytes) -> str:
        self._skip = 0
        if value == b"{":
            self._fallbacks.append(self._fallbacks[-1])
            self._hidden += self._hidden > 0
        elif len(self._fallbacks) > 1:
            self._fallbacks.pop()
            self._hidden = max(0, self._hidden - 1)
        return ""

    def _word(self, value: bytes) -> str:
        name, number = parts_of(value)
        if self._hidden:
            return ""
        if name == b"u":
            self._skip = self._fallbacks[-1]
            return chr(number & 0xFFFF)
        if name == b"uc":
            self._fallbacks[-1] = min(max(0, number), MOST_FALLBACKS)
        elif name == b"ansicpg":
            self._encoding = code_page(number)
        elif name in HIDDEN:
            self._hidden = 1
        self._encoding = CODE_PAGES.get(name, self._encoding)
        return CHARACTERS.get(name, "")

    def _symbol(self, value: bytes) -> str:
        if value == b"*" and not self._hidden:
            self._hidden = 1
        return "" if self._hidden else SYMBOLS.get(value, "")

    def _byte(self, value: bytes) -> str:
        if self._skip:
            self._skip -= 1
        elif not self._hidden:
            self._waiting.append(int(value, 16))
        return ""

    def _plain(self, value: bytes) -> str:
        if self._hidden:
            return ""
        text = value.replace(b"\r", b"").replace(b"\n", b"")
        shown = text[self._skip :]
        self._skip = max(0, self._skip - len(text))
        return shown.decode(self._encoding, "ignore")


def parts_of(word: bytes) -> tuple[bytes, int]:
    found = WORD.fullmatch(word)
    name, number = found.groups() if found else (word, b"")
    return name, int(number or 0)


def binary_size(word: bytes) -> int:
    """How many bytes that are no text follow."""
    name, number = parts_of(word) if word.startswith(b"bin") else (b"", 0)
    return max(0, number) if name == b"bin" else 0
