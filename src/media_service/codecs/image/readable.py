"""The loader of each content type of images that the service reads."""

# The names of libvips' loaders.
LOADERS = {
    "image/jpeg": "jpegload",
    "image/png": "pngload",
    "image/apng": "pngload",
    "image/gif": "gifload",
    "image/webp": "webpload",
    "image/tiff": "tiffload",
    "image/heic": "heifload",
    "image/avif": "heifload",
    "image/svg+xml": "svgload",
}
