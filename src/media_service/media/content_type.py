"""The names of content types: aliases, kinds, and which of them a setting such as "image/*"
covers."""

from media_service.codecs.demuxers import AUDIO_TYPES, DEMUXERS, VIDEO_TYPES
from media_service.codecs.image.readable import LOADERS
from media_service.media.model import Kind

KINDS = {"image": Kind.IMAGE, "video": Kind.VIDEO, "audio": Kind.AUDIO}
# Types whose names do not begin with their kind.
OTHER_KINDS = {"application/mxf": Kind.VIDEO, "application/vnd.rn-realmedia": Kind.VIDEO}
# What programs declare if they do not know the type.
UNDECLARED = {
    "application/octet-stream",
    "application/binary",
    "application/download",
    "application/force-download",
    "application/unknown",
    "application/x-octet-stream",
    "application/x-unknown",
    "binary/octet-stream",
    "unknown/unknown",
}

# Alternative names of content types that callers and libraries use.
ALIASES = {
    other: name
    for name, others in {
        "application/mxf": "application/x-mxf video/mxf",
        "application/pdf": "application/acrobat application/vnd.pdf application/x-pdf text/pdf",
        "application/vnd.rn-realmedia": (
            "application/vnd.rn-realmedia-vbr application/x-pn-realmedia video/vnd.rn-realvideo"
            " video/x-pn-realvideo"
        ),
        "application/rtf": "application/x-rtf text/richtext text/rtf",
        "audio/aac": "audio/aacp audio/x-aac audio/x-hx-aac-adts",
        "audio/ac3": "audio/a52 audio/vnd.dolby.dd-raw audio/x-ac3",
        "audio/aiff": "audio/aifc audio/x-aifc audio/x-aiff",
        "audio/amr": "audio/amr-nb audio/x-amr",
        "audio/amr-wb": "audio/x-amr-wb",
        "audio/basic": "audio/au audio/x-au",
        "audio/eac3": "audio/x-eac3",
        "audio/flac": "audio/x-flac",
        "audio/mp4": "audio/m4a audio/m4b audio/x-m4a audio/x-m4b audio/x-m4p audio/x-mp4",
        "audio/mpeg": (
            "audio/mp1 audio/mp2 audio/mp3 audio/mpa audio/mpeg3 audio/mpg audio/x-mp1 audio/x-mp2"
            " audio/x-mp3 audio/x-mpeg audio/x-mpeg-3 audio/x-mpg"
        ),
        "audio/ogg": (
            "application/ogg application/x-ogg audio/opus audio/speex audio/vorbis audio/x-ogg"
            " audio/x-opus+ogg audio/x-speex audio/x-speex+ogg audio/x-vorbis audio/x-vorbis+ogg"
        ),
        "audio/vnd.dts": "audio/dts audio/x-dts",
        "audio/wav": "audio/vnd.wave audio/wave audio/x-pn-wav audio/x-wav",
        "audio/x-ape": "audio/ape audio/x-monkeys-audio",
        "audio/x-caf": "audio/caf",
        "audio/x-matroska": "audio/matroska audio/mka audio/x-mka",
        "audio/x-ms-wma": "audio/wma audio/x-wma",
        "audio/x-wavpack": "audio/wavpack",
        "audio/3gpp": "audio/3gp",
        "audio/3gpp2": "audio/3g2",
        "image/avif": "image/avif-sequence",
        "image/bmp": "image/x-bmp image/x-ms-bmp image/x-windows-bmp",
        "image/heic": "image/heic-sequence image/heif image/heif-sequence",
        "image/icns": "image/x-icns",
        "image/j2c": "image/x-jp2-codestream",
        "image/jp2": "image/jpeg2000 image/jpeg2000-image image/x-jpeg2000-image",
        "image/jpeg": "image/jfif image/jpg image/pipeg image/pjpeg image/x-jpeg image/x-jpg",
        "image/jxl": "image/x-jxl",
        "image/png": "image/apng image/vnd.mozilla.apng image/x-apng image/x-png",
        "image/qoi": "image/x-qoi",
        "image/sgi": "image/x-rgb image/x-sgi",
        "image/svg+xml": "image/svg image/svg-xml",
        "image/svg+xml-compressed": "image/svgz",
        "image/tiff": "image/tif image/x-tif image/x-tiff",
        "image/vnd-ms.dds": "image/dds image/vnd.ms-dds image/x-dds",
        "image/vnd.adobe.photoshop": (
            "application/photoshop application/psd application/x-photoshop image/photoshop"
            " image/psd image/x-photoshop image/x-psd"
        ),
        "image/vnd.microsoft.icon": "image/ico image/icon image/x-ico image/x-icon",
        "image/vnd.radiance": "image/hdr image/x-hdr image/x-radiance",
        "image/vnd.zbrush.pcx": "image/pcx image/x-pcx",
        "image/x-adobe-dng": "image/dng image/x-dng",
        "image/x-exr": "image/aces image/exr",
        "image/x-portable-anymap": (
            "image/x-portable-bitmap image/x-portable-floatmap"
            " image/x-portable-graymap image/x-portable-pixmap"
        ),
        "image/x-tga": "application/tga application/x-tga image/targa image/tga image/x-targa",
        "video/3gpp": "video/3gp",
        "video/3gpp2": "video/3g2",
        "video/dv": "video/x-dv",
        "video/mp2t": "video/m2ts video/mpegts video/vnd.dlna.mpeg-tts video/x-mpegts",
        "video/mp4": "application/mp4 video/f4v video/m4v video/mp4v-es video/x-f4v video/x-m4v",
        "video/mpeg": (
            "video/mp1s video/mp2p video/mpeg-system video/mpeg2 video/mpg video/x-mpeg"
            " video/x-mpeg-system video/x-mpeg2 video/x-mpg"
        ),
        "video/ogg": "video/ogv video/theora video/x-ogg video/x-theora video/x-theora+ogg",
        "video/quicktime": "video/mov video/x-mov video/x-quicktime",
        "video/vnd.avi": "video/avi video/msvideo video/x-avi video/x-msvideo",
        "video/x-flv": "video/flv",
        "video/x-matroska": "video/matroska video/matroska-3d video/mkv",
        "video/x-ms-wmv": (
            "application/vnd.ms-asf video/asf video/wmv video/x-ms-asf video/x-ms-asf-plugin"
            " video/x-ms-wm video/x-wmv"
        ),
    }.items()
    for other in others.split()
}


# The types that inspection can read. "image/*" covers only these.
READABLE_TYPES = {*LOADERS, *DEMUXERS} - ALIASES.keys()


def normalize(content_type: str) -> str:
    """Returns the lower-case name of a type without aliases and parameters."""
    name = content_type.partition(";")[0].strip().lower()
    return ALIASES.get(name, name)


def declared(content_type: str) -> str:
    """Returns the normalized type that a caller declared, or an empty text if it names none, as
    "image/*", which Android declares."""
    name = normalize(content_type)
    return "" if name in UNDECLARED or name.endswith("/*") else name


def kind_of(content_type: str) -> Kind:
    kind = KINDS.get(content_type.partition("/")[0], Kind.DOCUMENT)
    return OTHER_KINDS.get(content_type, kind)


def in_same_container(content_type: str) -> str:
    """Returns the type of the same container with video instead of audio alone, or the reverse. It
    is empty if there is none. Only inspection can tell them apart."""
    return AUDIO_TYPES.get(content_type) or VIDEO_TYPES.get(content_type, "")


def matches(content_type: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns, such as "image/*", covers the type. A pattern of images, videos
    or audio covers the types that the service can read."""
    if content_type in patterns:
        return True
    kind = kind_of(content_type)
    if kind is Kind.DOCUMENT:
        return content_type.partition("/")[0] + "/*" in patterns
    return content_type in READABLE_TYPES and f"{kind.lower()}/*" in patterns
