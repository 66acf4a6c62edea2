"""Parses the location where a file was recorded."""

import re

from media_service.codecs.inspection import Location


def location(latitude: float, longitude: float) -> Location | None:
    """Returns a location from decimal degrees, north and east positive. Returns None if they are
    out of range."""
    if abs(latitude) <= 90 and abs(longitude) <= 180:  # false for NaN too
        return Location(latitude=round(latitude, 7), longitude=round(longitude, 7))
    return None


def from_exif(tags: dict[str, str]) -> Location | None:
    """Parses GPSLatitude and GPSLongitude ("43/1 28/1 281/100") and their Ref tags."""
    latitude = degrees(tags.get("GPSLatitude", ""))
    longitude = degrees(tags.get("GPSLongitude", ""))
    if latitude is None or longitude is None:
        return None
    south = tags.get("GPSLatitudeRef", "").upper().startswith("S")
    west = tags.get("GPSLongitudeRef", "").upper().startswith("W")
    return location(-latitude if south else latitude, -longitude if west else longitude)


def degrees(text: str) -> float | None:
    """Parses degrees, minutes and seconds as fractions. Returns None if the text is invalid."""
    fractions = re.fullmatch(r"(\d+)/(\d+) (\d+)/(\d+) (\d+)/(\d+)", text)
    if not fractions:
        return None
    numerators = [int(group) for group in fractions.groups()[::2]]
    denominators = [int(group) for group in fractions.groups()[1::2]]
    if not denominators[0]:
        return None
    # Some devices write 0/0 for unknown seconds.
    pairs = zip(numerators, denominators, strict=True)
    whole, minutes, seconds = (n / d if d else 0.0 for n, d in pairs)
    return whole + minutes / 60 + seconds / 3600


def from_iso6709(text: str) -> Location | None:
    """Parses ISO 6709, as in video files: "+37.3318-122.0312+010.5/"."""
    match = re.match(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)(?=[+/-]|$)", text)
    return location(float(match[1]), float(match[2])) if match else None
