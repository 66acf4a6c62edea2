"""The DASH manifest (ISO/IEC 23009-1), with the same segments as HLS."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from media_service.renditions.streams.model import Overview, Segment, TrackState

CONTENT_TYPE = "application/dash+xml"
NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
# On-demand video whose segments are numbered.
PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"


def manifest(overview: Overview, timelines: Mapping[str, Sequence[Segment]], folder: str) -> str:
    """Returns the manifest of a complete stream. `timelines` has the segments of each track.
    `folder` is the path of the tracks relative to the manifest."""
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
    video = adaptation(period, "video", "video/mp4")
    for rung in ladder.rungs:
        size = {
            "width": str(rung.width),
            "height": str(rung.height),
            "frameRate": f"{ladder.rate[0]}/{ladder.rate[1]}",
            "sar": "1:1",
        }
        parent = representation(video, rung.name, tracks[rung.name], size)
        template(parent, rung.name, timelines[rung.name], stream.timescale(rung.name), folder)
    for track in ladder.audio_tracks:
        if track.name in tracks:
            scale = stream.timescale(track.name)
            audio = adaptation(period, "audio", "audio/mp4", track.language)
            rate = {"audioSamplingRate": str(scale)}
            parent = representation(audio, track.name, tracks[track.name], rate)
            template(parent, track.name, timelines[track.name], scale, folder)
    for track in ladder.subtitles:
        if track.name in tracks:
            subtitles = adaptation(period, "text", "text/vtt", track.language)
            whole = ET.SubElement(subtitles, "Representation", id=track.name, bandwidth="1000")
            ET.SubElement(whole, "BaseURL").text = f"{folder}/{track.name}/1.vtt"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def adaptation(period: ET.Element, kind: str, mime_type: str, language: str = "") -> ET.Element:
    """Adds a set of representations between which a player can switch."""
    attributes = {"id": str(len(period) + 1), "contentType": kind, "mimeType": mime_type}
    if kind != "text":
        attributes |= {"segmentAlignment": "true", "startWithSAP": "1"}
    if language:
        attributes["lang"] = language
    return ET.SubElement(period, "AdaptationSet", attributes)


def representation(
    parent: ET.Element, name: str, state: TrackState, more: Mapping[str, str]
) -> ET.Element:
    attributes = {"id": name, "codecs": state.codec, "bandwidth": str(state.bandwidth), **more}
    return ET.SubElement(parent, "Representation", attributes)


def template(
    parent: ET.Element, track: str, segments: Sequence[Segment], scale: int, folder: str
) -> None:
    """Adds the addresses and durations of the segments. The attribute `r` is the number of
    repetitions of a duration."""
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
    for index, (duration, count) in enumerate(runs):
        attributes = {"d": str(duration)}
        if index == 0:
            attributes["t"] = "0"
        if count > 1:
            attributes["r"] = str(count - 1)
        ET.SubElement(line, "S", attributes)
