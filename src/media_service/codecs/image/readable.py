"""The loader of each content type of images that the service reads."""

# The names of libvips' loaders.
VIPS = {
    "image/jpeg": "jpegload",
    "image/png": "pngload",
    "image/apng": "pngload",
    "image/gif": "gifload",
    "image/webp": "webpload",
    "image/tiff": "tiffload",
    "image/heic": "heifload",
    "image/avif": "heifload",
    "image/svg+xml": "svgload",
    "image/svg+xml-compressed": "svgload",
}
# Types that have no inherent resolution.
DRAWINGS = {name for name, loader in VIPS.items() if loader == "svgload"}
# The names of Pillow's formats.
PILLOW = {
    "image/bmp": "BMP",
    "image/icns": "ICNS",
    "image/j2c": "JPEG2000",
    "image/jp2": "JPEG2000",
    "image/jpx": "JPEG2000",
    "image/qoi": "QOI",
    "image/sgi": "SGI",
    "image/vnd-ms.dds": "DDS",
    "image/vnd.microsoft.icon": "ICO",
    "image/vnd.zbrush.pcx": "PCX",
    "image/x-portable-anymap": "PPM",
    "image/x-tga": "TGA",
    "image/x-win-cursor": "CUR",
}
JPEG_XL, LIBJXL = "image/jxl", "libjxl"
PHOTOSHOP = dict.fromkeys(("image/vnd.adobe.photoshop", "image/x-psb"), "photoshop")
# The names of FFmpeg's demuxers.
FFMPEG = {"image/vnd.radiance": "hdr_pipe", "image/x-exr": "exr_pipe"}
# Camera RAW files are read by LibRaw.
RAW = (
    "image/x-adobe-dng",
    "image/x-canon-cr2",
    "image/x-epson-erf",
    "image/x-hasselblad-3fr",
    "image/x-kodak-dcr",
    "image/x-nikon-nef",
    "image/x-olympus-orf",
    "image/x-panasonic-rw2",
    "image/x-pentax-pef",
    "image/x-phaseone-iiq",
    "image/x-samsung-srw",
    "image/x-sony-arw",
)
LIBRAW = "libraw"

LOADERS = {
    **VIPS,
    **PILLOW,
    JPEG_XL: LIBJXL,
    **PHOTOSHOP,
    **FFMPEG,
    **dict.fromkeys(RAW, LIBRAW),
}
