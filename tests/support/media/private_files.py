"""Files with personal metadata in every place that their formats have for it."""

import io
import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
from PIL import ExifTags, Image, PngImagePlugin

from tests.support.media.numbered_frames import counted
from tests.support.media.pdf_files import Page, pdf, text

# Occurs in no file by chance. As text, and as a number of each EXIF rational.
SECRET = "Qz7secret"
# What `metadata:KEEP` keeps, because the caller asks for it.
CREDIT = "Qz8credit"
PLACE = (48.13743, 11.57549, 519.0)
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a>{SECRET}</a></x:xmpmeta>".encode()
IPTC = (
    b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0"
    + struct.pack(">I", 14)
    + b"\x1c\x02P\0\x09"
    + (SECRET.encode())
)
ISO6709 = f"+48.1374+011.5755/{SECRET}"
# Tracks, chapters and the whole file.
TAGS = ("title", "artist", "author", "comment", "copyright", "location", "description")


def exif(orientation: int = 1) -> bytes:
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = orientation
    for tag in (ExifTags.Base.Artist, ExifTags.Base.ImageDescription, ExifTags.Base.Copyright):
        made[tag] = CREDIT
    for tag in (ExifTags.Base.HostComputer, ExifTags.Base.XPAuthor, ExifTags.Base.XPComment):
        made[tag] = SECRET.encode()
    camera = made.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.ExposureTime] = 1 / 60
    for tag in (
        ExifTags.Base.CameraOwnerName,
        ExifTags.Base.BodySerialNumber,
        ExifTags.Base.LensSerialNumber,
        ExifTags.Base.ImageUniqueID,
    ):
        camera[tag] = SECRET
    camera[ExifTags.Base.MakerNote] = SECRET.encode()
    camera[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + SECRET.encode()
    place = made.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitude] = PLACE
    place[ExifTags.GPS.GPSAreaInformation] = SECRET.encode()
    return made.tobytes()


def picture(color: str = "teal") -> Image.Image:
    """Its left half is red, so its orientation shows."""
    image = Image.new("RGB", (64, 48), color)
    image.paste("red", (0, 0, 32, 48))
    return image


def private_jpeg(orientation: int = 1, icc: bytes = b"") -> bytes:
    """Also behind its end."""
    file = io.BytesIO()
    options = {"icc_profile": icc} if icc else {}
    picture().save(file, "JPEG", exif=exif(orientation), comment=SECRET, xmp=XMP, **options)
    head, rest = file.getvalue()[:2], file.getvalue()[2:]
    segment = b"\xff\xed" + struct.pack(">H", len(IPTC) + 2) + IPTC
    return head + segment + rest + SECRET.encode()


def private_png(orientation: int = 1, icc: bytes = b"") -> bytes:
    file, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Author", SECRET)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    options = {"icc_profile": icc} if icc else {}
    picture().save(file, "PNG", exif=exif(orientation), pnginfo=info, **options)
    return file.getvalue()


def private_webp(orientation: int = 1, icc: bytes = b"") -> bytes:
    file = io.BytesIO()
    options = {"icc_profile": icc} if icc else {}
    picture().save(file, "WEBP", exif=exif(orientation), xmp=XMP, **options)
    return file.getvalue()


def private_video(folder: Path, seconds: float = 1) -> bytes:
    """An MP4 with tags of the file, its tracks and a chapter, as phones and editors write them."""
    plain, tagged, chapters = (folder / name for name in ("plain.mp4", "tagged.mov", "chapters"))
    plain.write_bytes(counted(seconds, "5", "96x64"))
    chapters.write_text(f";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\ntitle={SECRET}\n")
    tags = [f"{name}={SECRET}" for name in TAGS]
    tags += [f"com.apple.quicktime.location.ISO6709={ISO6709}"]
    of_file = [word for tag in tags for word in ("-metadata", tag)]
    of_tracks = [
        *("-metadata:s:v:0", f"handler_name={SECRET}", "-metadata:s:a:0", f"title={SECRET}"),
    ]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-i", str(plain)]
    command += ["-i", str(chapters), "-map", "0", "-map_metadata", "1", "-map_chapters", "1"]
    command += ["-c", "copy", "-movflags", "use_metadata_tags", *of_file, *of_tracks, str(tagged)]
    subprocess.run(command, check=True)
    return tagged.read_bytes()


def private_audio(folder: Path, extension: str = "mp3") -> bytes:
    path = folder / f"song.{extension}"
    tags = [word for name in TAGS for word in ("-metadata", f"{name}={SECRET}")]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-f", "lavfi"]
    id3 = ["-id3v2_version", "3", "-write_id3v1", "1"] if extension == "mp3" else []
    command += ["-i", "sine=d=1", *tags, *id3, str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()


def private_pdf() -> bytes:
    info = {100: f"<</Author({SECRET})/Creator({SECRET})>>".encode()}
    return pdf(Page(text("Hello")), trailer="/Info 100 0 R", objects=info)
