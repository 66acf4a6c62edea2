"""The manifest of DASH: ISO/IEC 23009-1, of the same segments as HLS."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from media_service.renditions.streams.model import Overview, Segment, TrackState

CONTENT_TYPE = "application/dash+xml"
NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
# For on-demand films, with segments that are found by their numbers.
PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"


def manifest(overview: Overview, timelines: Mapping[str, Sequence[Segment]], folder: str) -> str:
    """Of a stream that is ready. `timelines`: the segments of each track. `folder`: where the
    tracks are, from here."""
    stream, tracks = overview.stream, overview.tracks
    ladder = stream.ladder
    seconds = max(
        sum(s.duration for s in segments) / stream.timescale(track)
        for track, segments in timelines.items()
    )
    root = ET.Element(
        "MPD",
        xmlns=NAMESPACE,
        type="static",
        profiles=PROFILE,
        minBufferTime="PT2S",
        mediaPresentationDuration=f"PT{seconds:.3f}S",
    )
    period = ET.SubElement(root, "Period", id="1", start="PT0S")
    pictures = adaptation(period, "video", "video/mp4")
    for rung in ladder.rungs:
        size = {
            "width": str(rung.width),
            "height": str(rung.height),
            "frameRate": f"{ladder.rate[0]}/{ladder.rate[1]}",
            "sar": "1:1",
        }
        shown = representation(pictures, rung.name, tracks[rung.name], size)
        template(shown, rung.name, timelines[rung.name], stream.timescale(rung.name), folder)
    for sound in ladder.audio_tracks:
        if sound.name in tracks:
            scale = stream.timescale(sound.name)
            heard = adaptation(period, "audio", "audio/mp4", sound.language)
            rate = {"audioSamplingRate": str(scale)}
            part = representation(heard, sound.name, tracks[sound.name], rate)
            template(part, sound.name, timelines[sound.name], scale, folder)
    for text in ladder.subtitles:
        if text.name in tracks:
            read = adaptation(period, "text", "text/vtt", text.language)
            whole = ET.SubElement(read, "Representation", id=text.name, bandwidth="1000")
            ET.SubElement(whole, "BaseURL").text = f"{folder}/{text.name}/1.vtt"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def adaptation(period: ET.Element, kind: str, mime_type: str, language: str = "") -> ET.Element:
    """A set of representations between which a player may switch."""
    attributes = {"id": str(len(period) + 1), "contentType": kind, "mimeType": mime_type}
    if kind != "text":
        attributes |= {"segmentAlignment": "true", "startWithSAP": "1"}
    if language:
        attributes["lang"] = language
    return ET.SubElement(period, "AdaptationSet", attributes)


def representation(
    parent: ET.Element, name: str, state: TrackState, more: Mapping[str, str]
) -> ET.Element:
    attributes = {"id": name, "codecs": state.codec, "bandwidth": str(state.peak), **more}
    return ET.SubElement(parent, "Representation", attributes)


def template(
    parent: ET.Element, track: str, segments: Sequence[Segment], scale: int, folder: str
) -> None:
    """Where the segments are, and how long each is: `r` says how often one is repeated."""
    found = ET.SubElement(
        parent,
        "SegmentTemplate",
        timescale=str(scale),
        initialization=f"{folder}/{track}/init.mp4",
        media=f"{folder}/{track}/$Number$.m4s",
        startNumber="1",
    )
    line = ET.SubElement(found, "SegmentTimeline")
    runs = [(duration, len(list(run))) for duration, run in groupby(s.duration for s in segments)]
    for place, (duration, count) in enumerate(runs):
        attributes = {"d": str(duration)}
        if place == 0:
            attributes["t"] = "0"
        if count > 1:
            attributes["r"] = str(count - 1)
        ET.SubElement(line, "S", attributes)
