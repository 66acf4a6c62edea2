"""The names of containers, codecs and color spaces in answers.

These are the names that standards and players use. They do not depend on the decoding library.
"""

import re

# By content type.
CONTAINERS = {
    "video/mp4": "mp4",
    "video/quicktime": "quicktime",
    "video/3gpp": "3gp",
    "video/3gpp2": "3g2",
    "video/webm": "webm",
    "video/x-matroska": "matroska",
    "video/ogg": "ogg",
    "video/vnd.avi": "avi",
    "video/mpeg": "mpegps",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "asf",
    "video/mj2": "mj2",
    "video/mpv": "mpegvideo",
    "video/dv": "dv",
    "video/x-ivf": "ivf",
    "video/x-yuv4mpeg": "y4m",
    "application/mxf": "mxf",
    "application/vnd.rn-realmedia": "rm",
    "audio/mpeg": "mp3",
    "audio/mp4": "mp4",
    "audio/quicktime": "quicktime",
    "audio/3gpp": "3gp",
    "audio/3gpp2": "3g2",
    "audio/webm": "webm",
    "audio/x-matroska": "matroska",
    "audio/x-ms-wma": "asf",
    "audio/aac": "adts",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/aiff": "aiff",
    "audio/amr": "amr",
    "audio/amr-wb": "amr",
    "audio/ac3": "ac3",
    "audio/eac3": "eac3",
    "audio/vnd.dts": "dts",
    "audio/basic": "au",
    "audio/x-caf": "caf",
    "audio/x-wavpack": "wavpack",
    "audio/x-tta": "tta",
    "audio/x-voc": "voc",
    "audio/x-w64": "w64",
}

# Where FFmpeg's name is not the usual one. Migration 0015 has the same table for older rows.
CODECS = {
    "dvb_subtitle": "dvb",
    "dvb_teletext": "teletext",
    "dvd_subtitle": "vobsub",
    "dvvideo": "dv",
    "eia_608": "cea608",
    "hdmv_pgs_subtitle": "pgs",
    "mov_text": "tx3g",
    "mpeg1video": "mpeg1",
    "mpeg2video": "mpeg2",
    "msmpeg4v1": "msmpeg4",
    "msmpeg4v2": "msmpeg4",
    "msmpeg4v3": "msmpeg4",
    "pcm_alaw": "alaw",
    "pcm_mulaw": "ulaw",
    "rawvideo": "raw",
    "wmav1": "wma",
    "wmav2": "wma",
}

COLOR_SPACES = {"b-w": "gray", "grey16": "gray16", "labs": "lab", "labq": "lab"}


def codec(ffmpeg_name: str) -> str:
    """Returns "pcm" for "pcm_s16le" and the like: the sample format is no part of the name."""
    if ffmpeg_name in CODECS:
        return CODECS[ffmpeg_name]
    prefix = ffmpeg_name.partition("_")[0]
    return prefix if prefix in {"pcm", "adpcm"} else ffmpeg_name


def bit_depth(ffmpeg_name: str) -> int:
    """Bits per sample of uncompressed audio: 24 for "pcm_s24le". 0 for other codecs."""
    match = re.match(r"pcm_[sfu](\d+)", ffmpeg_name)
    return int(match[1]) if match else 0


def color_space(interpretation: str) -> str:
    """Returns the name of a color space. `interpretation` is libvips' name."""
    return COLOR_SPACES.get(interpretation, interpretation)
