"""Creates small office documents with the parts each format requires and a few words."""

import io
from collections.abc import Mapping
from zipfile import ZipFile

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
OPEN = "application/vnd.oasis.opendocument."
MICROSOFT = "application/vnd.openxmlformats-officedocument."
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
NAMESPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for short, name in {
        "office": "office",
        "text": "text",
        "table": "table",
        "draw": "drawing",
        "svg": "svg-compatible",
        "presentation": "presentation",
    }.items()
)


def packed(parts: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def opendocument(kind: str, body: str) -> bytes:
    """`kind` is text, spreadsheet or presentation."""
    files = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{media_type}"/>'
        for path, media_type in {"/": OPEN + kind, "content.xml": "text/xml"}.items()
    )
    manifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    return packed(
        {
            "mimetype": OPEN + kind,
            "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{manifest}"'
            f' manifest:version="1.2">{files}</manifest:manifest>',
            "content.xml": f'<office:document-content {NAMESPACES} office:version="1.2"'
            ' xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
            "</office:document-content>",
        }
    )


def odt(words: str) -> bytes:
    return opendocument("text", f"<text:p>{words}</text:p>")


def ods(words: str) -> bytes:
    cell = f'<table:table-cell office:value-type="string"><text:p>{words}</text:p>'
    row = f"<table:table-row>{cell}</table:table-cell></table:table-row>"
    return opendocument("spreadsheet", f'<table:table table:name="a">{row}</table:table>')


def odp(words: str) -> bytes:
    box = f"<draw:text-box><text:p>{words}</text:p></draw:text-box>"
    place = 'svg:x="2cm" svg:y="2cm" svg:width="15cm" svg:height="3cm"'
    page = f'<draw:page draw:name="a"><draw:frame {place}>{box}</draw:frame></draw:page>'
    return opendocument("presentation", page)


def openxml(parts: Mapping[str, tuple[str, str, str]]) -> bytes:
    """Packs parts by path, the main one first. A part is (content type, content, relations)."""
    main = next(iter(parts))
    types = "".join(
        f'<Override PartName="/{path}" ContentType="{MICROSOFT}{kind}+xml"/>'
        for path, (kind, _, _) in parts.items()
    )
    relations = "application/vnd.openxmlformats-package.relationships+xml"
    made = {
        "[Content_Types].xml": f'{HEAD}<Types xmlns="{PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="{relations}"/>{types}</Types>',
        "_rels/.rels": related(relation("officeDocument", main)),
    }
    for path, (_, content, others) in parts.items():
        folder, _, name = path.rpartition("/")
        made[path] = HEAD + content
        made[f"{folder}/_rels/{name}.rels"] = related(others)
    return packed(made)


def relation(kind: str, target: str) -> str:
    return f'<Relationship Id="r1" Type="{RELATIONS}/{kind}" Target="{target}"/>'


def related(relations: str) -> str:
    return f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">{relations}</Relationships>'


def docx(words: str) -> bytes:
    schema = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f"<w:body><w:p><w:r><w:t>{words}</w:t></w:r></w:p></w:body>"
    content = f'<w:document xmlns:w="{schema}">{body}</w:document>'
    return openxml({"word/document.xml": ("wordprocessingml.document.main", content, "")})


def xlsx(words: str) -> bytes:
    schema = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheets = '<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
    cell = f'<c r="A1" t="inlineStr"><is><t>{words}</t></is></c>'
    rows = f'<sheetData><row r="1">{cell}</row></sheetData>'
    return openxml(
        {
            "xl/workbook.xml": (
                "spreadsheetml.sheet.main",
                f'<workbook xmlns="{schema}" xmlns:r="{RELATIONS}">{sheets}</workbook>',
                relation("worksheet", "sheet.xml"),
            ),
            "xl/sheet.xml": (
                "spreadsheetml.worksheet",
                f'<worksheet xmlns="{schema}">{rows}</worksheet>',
                "",
            ),
        }
    )


def pptx(words: str) -> bytes:
    schema = "http://schemas.openxmlformats.org/presentationml/2006/main"
    drawing = "http://schemas.openxmlformats.org/drawingml/2006/main"
    spaces = f'xmlns:p="{schema}" xmlns:a="{drawing}" xmlns:r="{RELATIONS}"'
    size = '<a:xfrm><a:off x="0" y="0"/><a:ext cx="5000000" cy="900000"/></a:xfrm>'
    text = f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody>"
    name = '<p:cNvPr id="2" name="a"/>'
    shape = (
        f"<p:sp><p:nvSpPr>{name}<p:cNvSpPr/><p:nvPr/></p:nvSpPr>"
        f'<p:spPr>{size}<a:prstGeom prst="rect"/></p:spPr>{text}</p:sp>'
    )
    group = f"<p:nvGrpSpPr>{name}<p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>{shape}"
    slides = '<p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst>'
    size = '<p:sldSz cx="9144000" cy="6858000"/>'
    return openxml(
        {
            "ppt/presentation.xml": (
                "presentationml.presentation.main",
                f"<p:presentation {spaces}>{slides}{size}</p:presentation>",
                relation("slide", "slide.xml"),
            ),
            "ppt/slide.xml": (
                "presentationml.slide",
                f"<p:sld {spaces}><p:cSld><p:spTree>{group}</p:spTree></p:cSld></p:sld>",
                "",
            ),
        }
    )


def rtf(words: str) -> bytes:
    coded = "".join(c if c.isascii() else f"\\u{ord(c)}?" for c in words)
    return f"{{\\rtf1\\ansi {coded}\\par}}".encode()


TEXT = "application/rtf"
MAKERS = {
    MICROSOFT + "wordprocessingml.document": docx,
    MICROSOFT + "spreadsheetml.sheet": xlsx,
    MICROSOFT + "presentationml.presentation": pptx,
    OPEN + "text": odt,
    OPEN + "spreadsheet": ods,
    OPEN + "presentation": odp,
    TEXT: rtf,
}
