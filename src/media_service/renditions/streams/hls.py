"""Playlists of HLS: RFC 8216, and of its second edition what every player reads."""

from collections.abc import Iterator, Sequence

from media_service.codecs.video.ladder import Rung, Track
from media_service.renditions.streams.model import Overview, Timeline

CONTENT_TYPE = "application/vnd.apple.mpegurl"
SOUND, SUBTITLES = "sound", "subtitles"
# Of a size of which nothing has been made yet, as a part of what it may have at most.
FULL = 1.5


def plain(text: str) -> str:
    """Without what cannot stand in an attribute."""
    return "".join(c for c in text if c.isprintable() and c != '"').strip()


def quoted(text: str) -> str:
    """As an attribute."""
    return f'"{plain(text)}"'


def master(overview: Overview, folder: str) -> str:
    """The playlist of playlists. `folder`: where the tracks are, from here."""
    ladder, tracks = overview.stream.ladder, overview.tracks
    sounds = [sound for sound in ladder.audio_tracks if sound.name in tracks]
    texts = [text for text in ladder.subtitles if text.name in tracks]
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += alternatives("AUDIO", SOUND, sounds, folder)
    lines += alternatives("SUBTITLES", SUBTITLES, texts, folder)
    groups = (f",AUDIO={quoted(SOUND)}" if sounds else "") + (
        f",SUBTITLES={quoted(SUBTITLES)}" if texts else ""
    )
    sizes = [rung for rung in ladder.rungs if rung.name in tracks]
    for rung in sizes:
        heard = [tracks[sound.name].codec for sound in sounds]
        codecs = dict.fromkeys([tracks[rung.name].codec, *heard])
        lines += [
            f"#EXT-X-STREAM-INF:{bandwidth(overview, rung, sounds)},CODECS="
            f"{quoted(','.join(codecs))},RESOLUTION={rung.width}x{rung.height}"
            f",FRAME-RATE={ladder.rate[0] / ladder.rate[1]:.3f}{groups}",
            f"{folder}/{rung.name}/playlist.m3u8",
        ]
    for rung in sizes:
        lines.append(
            f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={shown_fast(overview, rung)},CODECS="
            f"{quoted(tracks[rung.name].codec)},RESOLUTION={rung.width}x{rung.height}"
            f",URI={quoted(f'{folder}/{rung.name}/iframes.m3u8')}"
        )
    return "\n".join(lines) + "\n"


def alternatives(kind: str, group: str, tracks: Sequence[Track], folder: str) -> Iterator[str]:
    """Sounds, or subtitles, of which one can be chosen; of sounds, the first if nobody does."""
    names: set[str] = set()
    for track in tracks:
        name = plain(track.title) or track.language or group.capitalize()
        if name in names:  # they must differ
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


def bandwidth(overview: Overview, rung: Rung, sounds: Sequence[Track]) -> str:
    """What it takes to play it: of what is not whole yet, what it may take."""
    shown = overview.tracks[rung.name]
    heard = [overview.tracks[sound.name] for sound in sounds]
    peak = shown.peak + max((state.peak for state in heard), default=0)
    if overview.stream.ready:
        average = shown.average + max((state.average for state in heard), default=0)
        return f"BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}"
    return f"BANDWIDTH={max(peak, full(rung))}"


def shown_fast(overview: Overview, rung: Rung) -> int:
    """Bits per second of fast forward, as `bandwidth`."""
    return overview.tracks[rung.name].frames or full(rung)


def full(rung: Rung) -> int:
    """Bits per second that a size may have at most."""
    return int(rung.kbps * 1000 * FULL)


def media(timeline: Timeline) -> str:
    """The playlist of one track: of pictures or sound."""
    scale = timeline.stream.timescale(timeline.track)
    lines = header(timeline, scale)
    for segment in timeline.segments:
        lines += [f"#EXTINF:{segment.duration / scale:.6f},", f"{segment.number}.m4s"]
    return ended(lines, timeline)


def frames(timeline: Timeline) -> str:
    """The playlist of the pictures that can be shown by themselves: for fast forward."""
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
    """The playlist of subtitles, which are one file for the whole film."""
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
        # Else players begin where it ends just now.
        *([] if timeline.stream.ready else ["#EXT-X-START:TIME-OFFSET=0"]),
        '#EXT-X-MAP:URI="init.mp4"',
    ]


def target(timeline: Timeline, scale: int) -> int:
    """Seconds. It must not change while the playlist grows."""
    ladder = timeline.stream.ladder
    usual = ladder.segment_frames * ladder.rate[1] / ladder.rate[0]
    longest = max((segment.duration / scale for segment in timeline.segments), default=0)
    return max(1, whole(max(usual, longest)))


def ended(lines: list[str], timeline: Timeline) -> str:
    if timeline.stream.ready:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def whole(seconds: float) -> int:
    """The nearest whole number; of a half, the larger one."""
    return int(seconds + 0.5)
