"""The FFmpeg demuxer for each content type.

FFmpeg never guesses the demuxer. Therefore, a playlist, which could name other files and hosts, is
never opened, even if it is declared as a video.
"""

DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/3gpp": "mov",
    "video/3gpp2": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/ogg": "ogg",
    "video/vnd.avi": "avi",
    "video/mpeg": "mpeg",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "asf",
    "video/mj2": "mov",
    "video/mpv": "mpegvideo",
    "video/dv": "dv",
    "video/x-ivf": "ivf",
    "video/x-yuv4mpeg": "yuv4mpegpipe",
    "application/mxf": "mxf",
    "application/vnd.rn-realmedia": "rm",
    "audio/mpeg": "mp3",
    "audio/mp4": "mov",
    "audio/quicktime": "mov",
    "audio/3gpp": "mov",
    "audio/3gpp2": "mov",
    "audio/webm": "matroska",
    "audio/x-matroska": "matroska",
    "audio/x-ms-wma": "asf",
    "audio/aac": "aac",
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
    "audio/x-wavpack": "wv",
    "audio/x-tta": "tta",
    "audio/x-voc": "voc",
    "audio/x-w64": "w64",
}
# The content type of a file without a video track, where it differs.
AUDIO_TYPES = {
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/quicktime",
    "video/3gpp": "audio/3gpp",
    "video/3gpp2": "audio/3gpp2",
    "video/webm": "audio/webm",
    "video/x-matroska": "audio/x-matroska",
    "video/ogg": "audio/ogg",
    "video/x-ms-wmv": "audio/x-ms-wma",
}
VIDEO_TYPES = {audio: video for video, audio in AUDIO_TYPES.items()}
