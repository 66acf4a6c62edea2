"""The numbering of a stream's segments, and the parsing of a stored ladder."""

from dataclasses import replace

from media_service.codecs.video.ladder import Ladder, Rung, Track

LADDER = Ladder(
    (30, 1),
    300.0,
    60,
    20,
    15,
    10,
    (Rung("720p", 1280, 720, 2800),),
    (Track("a1", 0, "en", ""),),
    (),
)


def test_the_first_chunk_has_one_more_segment_because_its_first_segment_is_short() -> None:
    assert [LADDER.first_segment(chunk) for chunk in range(3)] == [1, 17, 32]


def test_without_an_opening_segment_all_chunks_have_the_same_number_of_segments() -> None:
    plain = replace(LADDER, opening_frames=0)
    assert [plain.first_segment(chunk) for chunk in range(3)] == [1, 16, 31]


def test_a_stored_ladder_is_parsed() -> None:
    assert Ladder.from_json(LADDER.as_json()) == LADDER
