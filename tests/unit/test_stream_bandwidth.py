"""The bit rates that the playlists of a complete stream announce."""

import re
from datetime import UTC, datetime

from media_service.codecs.video.ladder import Ladder, Rung, Track
from media_service.renditions.streams import dash, hls
from media_service.renditions.streams.model import Overview, Segment, Stream, TrackState

LADDER = Ladder(
    (30, 1), 2.7, 60, 20, 2, 1, (Rung("720p", 1280, 720, 2800),), (Track("a1", 0, "en", ""),), ()
)
STREAM = Stream("s", "m", "j", True, LADDER, datetime.now(UTC), True)
# The peak ignores the short first segment, which may need the most bits.
VIDEO = TrackState("avc1.64001f", 2, 2, peak=100_000, average=150_000, frames=50_000)
AUDIO = TrackState("mp4a.40.2", 2, 2, peak=130_000, average=128_000, frames=0)


def test_the_peak_of_a_complete_stream_is_not_below_its_average() -> None:
    overview = Overview(STREAM, {"720p": VIDEO, "a1": AUDIO})
    assert re.findall(r"BANDWIDTH=(\d+)", hls.master(overview, "s"))[:2] == ["280000", "278000"]
    timelines = {name: [Segment(1, 60, 1, 1)] for name in LADDER.names}
    manifest = dash.manifest(overview, timelines, "s")
    assert re.findall(r'bandwidth="(\d+)"', manifest) == ["150000", "130000"]
