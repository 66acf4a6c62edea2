"""HLS playlists: RFC 8216, and the parts of its second edition that all players support."""

from collections.abc import Iterator, Sequence

from media_service.codecs.video.ladder import Rung, Track
from media_service.renditions.streams.model import Overview, Timeline

CONTENT_TYPE = "application/vnd.apple.mpegurl"
AUDIO, SUBTITLES = "audio", "subtitles"
# The peak bit rate of a rung that is not encoded yet, relative to its average.
PEAK_FACTOR = 1.5


def plain(text: str) -> str:
    """Returns the text without characters that are not allowed in an attribute."""
    return "".join(c for c in text if c.isprintable() and c != '"').strip()


def quoted(text: str) -> str:
    """The text as a quoted attribute."""
    return f'"{plain(text)}"'


def master(overview: Overview, folder: str) -> str:
    """Returns the multivariant playlist. `folder` is the path of the tracks relative to it."""
    ladder, tracks = overview.stream.ladder, overview.tracks
    audio = [track for track in ladder.audio_tracks if track.name in tracks]
    subtitles = [track for track in ladder.subtitles if track.name in tracks]
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += alternatives("AUDIO", AUDIO, audio, folder)
    lines += alternatives("SUBTITLES", SUBTITLES, subtitles, folder)
    groups = (f",AUDIO={quoted(AUDIO)}" if audio else "") + (
        f",SUBTITLES={quoted(SUBTITLES)}" if subtitles else ""
    )
    rungs = [rung for rung in ladder.rungs if rung.name in tracks]
    for rung in rungs:
        audio_codecs = [tracks[track.name].codec for track in audio]
        codecs = dict.fromkeys([tracks[rung.name].codec, *audio_codecs])
        lines += [
            f"#EXT-X-STREAM-INF:{bandwidth(overview, rung, audio)},CODECS="
            f"{quoted(','.join(codecs))},RESOLUTION={rung.width}x{rung.height}"
            f",FRAME-RATE={ladder.rate[0] / ladder.rate[1]:.3f}{groups}",
            f"{folder}/{rung.name}/playlist.m3u8",
        ]
    for rung in rungs:
        lines.append(
            f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={iframe_bandwidth(overview, rung)},CODECS="
            f"{quoted(tracks[rung.name].codec)},RESOLUTION={rung.width}x{rung.height}"
            f",URI={quoted(f'{folder}/{rung.name}/iframes.m3u8')}"
        )
    return "\n".join(lines) + "\n"


def alternatives(kind: str, group: str, tracks: Sequence[Track], folder: str) -> Iterator[str]:
    """Yields the lines of the audio or subtitle tracks from which a viewer selects one. The first
    audio track is the default."""
    names: set[str] = set()
    for track in tracks:
        # The title of the only track helps nobody to select it, and may be personal.
        title = plain(track.title) if len(tracks) > 1 else ""
        name = title or track.language or group.capitalize()
        if name in names:  # names must be unique
            name = f"{name} {track.name[1:]}"
        names.add(name)
        default = "YES" if kind == "AUDIO" and track == tracks[0] else "NO"
        yield (
            f"#EXT-X-MEDIA:TYPE={kind},GROUP-ID={quoted(group)},NAME={quoted(name)}"
            + (f",LANGUAGE={quoted(track.language)}" if track.language else "")
            + f",DEFAULT={default},AUTOSELECT=YES"
            + (',CHANNELS="2"' if kind == "AUDIO" else "")
            + f",URI={quoted(f'{folder}/{track.name}/playlist.m3u8')}"
        )


def bandwidth(overview: Overview, rung: Rung, audio: Sequence[Track]) -> str:
    """Returns the bandwidth attributes of a rung. While the stream is incomplete, this is an upper
    bound."""
    video = overview.tracks[rung.name]
    audio_states = [overview.tracks[track.name] for track in audio]
    if overview.stream.ready:
        peak = video.bandwidth + max((state.bandwidth for state in audio_states), default=0)
        average = video.average + max((state.average for state in audio_states), default=0)
        return f"BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}"
    peak = video.peak + max((state.peak for state in audio_states), default=0)
    return f"BANDWIDTH={max(peak, peak_bit_rate(rung))}"


def iframe_bandwidth(overview: Overview, rung: Rung) -> int:
    """Returns the bandwidth of the I-frame playlist of a rung in bit/s."""
    return overview.tracks[rung.name].frames or peak_bit_rate(rung)


def peak_bit_rate(rung: Rung) -> int:
    """The maximum bit rate of a rung in bit/s."""
    return int(rung.bit_rate_kbps * 1000 * PEAK_FACTOR)


def media(timeline: Timeline) -> str:
    """The playlist of a rung or an audio track."""
    scale = timeline.stream.timescale(timeline.track)
    lines = header(timeline, scale)
    for segment in timeline.segments:
        lines += [f"#EXTINF:{segment.duration / scale:.6f},", f"{segment.number}.m4s"]
    return ended(lines, timeline)


def frames(timeline: Timeline) -> str:
    """The I-frame playlist of a rung, for seeking and fast forward."""
    scale = timeline.stream.timescale(timeline.track)
    lines = header(timeline, scale)
    lines.insert(2, "#EXT-X-I-FRAMES-ONLY")
    for segment in timeline.segments:
        lines += [
            f"#EXTINF:{segment.duration / scale:.6f},",
            f"#EXT-X-BYTERANGE:{segment.first_bytes}@0",
            f"{segment.number}.m4s",
        ]
    return ended(lines, timeline)


def subtitles(timeline: Timeline) -> str:
    """The playlist of a subtitle track, which is one file for the whole video."""
    seconds = timeline.stream.ladder.seconds
    return "\n".join(
        [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{max(1, whole(seconds))}",
            "#EXT-X-PLAYLIST-TYPE:VOD",
            f"#EXTINF:{seconds:.6f},",
            "1.vtt",
            "#EXT-X-ENDLIST",
            "",
        ]
    )


def header(timeline: Timeline, scale: int) -> list[str]:
    kind = "VOD" if timeline.stream.ready else "EVENT"
    return [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{target(timeline, scale)}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        f"#EXT-X-PLAYLIST-TYPE:{kind}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        # Otherwise, players start at the end of the segments encoded so far.
        *([] if timeline.stream.ready else ["#EXT-X-START:TIME-OFFSET=0"]),
        '#EXT-X-MAP:URI="init.mp4"',
    ]


def target(timeline: Timeline, scale: int) -> int:
    """The target duration in seconds. It must not change while the playlist grows."""
    ladder = timeline.stream.ladder
    usual = ladder.segment_frames * ladder.rate[1] / ladder.rate[0]
    longest = max((segment.duration / scale for segment in timeline.segments), default=0)
    return max(1, whole(max(usual, longest)))


def ended(lines: list[str], timeline: Timeline) -> str:
    if timeline.stream.ready:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def whole(seconds: float) -> int:
    """The nearest integer; halves are rounded up."""
    return int(seconds + 0.5)
