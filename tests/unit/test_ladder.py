"""How the segments of a stream are numbered."""

from dataclasses import replace

from media_service.codecs.video.ladder import Ladder

LADDER = Ladder((30, 1), 300.0, 60, 20, 15, 10, (), (), ())


def test_the_first_chunk_has_a_segment_more_since_its_first_is_short() -> None:
    assert [LADDER.first_segment(chunk) for chunk in range(3)] == [1, 17, 32]


def test_without_an_opening_all_chunks_are_alike() -> None:
    plain = replace(LADDER, opening_frames=0)
    assert [plain.first_segment(chunk) for chunk in range(3)] == [1, 16, 31]


def test_a_ladder_that_was_kept_before_there_were_openings_has_none() -> None:
    found = LADDER.as_json()
    assert Ladder.from_json(found) == LADDER
    del found["opening_frames"]
    assert Ladder.from_json(found) == replace(LADDER, opening_frames=0)
