"""The operations that the code implements are those of the contract."""

import re
import subprocess
import sys
from pathlib import Path

from media_service.codecs import av_renderer, document_renderer
from media_service.codecs.discovery import discover
from media_service.codecs.image import operations
from media_service.codecs.image.colors.filters import FILTERS
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS
from media_service.codecs.video.edits import EDITS

DOCS = Path(__file__).parents[2] / "docs"
# Encoded by a job of its own, in segments.
STREAM = {"stream"}


def taking(kind: str) -> set[str]:
    """The operations of the contract that accept this kind of media."""
    return {
        name for name, message in fields.operations().items() if kind in fields.input_kinds(message)
    }


def test_every_image_operation_is_implemented() -> None:
    assert set(discover(operations)) == taking("IMAGE") - set(OUTPUT_OPERATIONS)


def test_every_video_and_audio_operation_is_implemented() -> None:
    implemented = {*av_renderer.OPERATIONS, *EDITS, *STREAM}
    assert implemented == taking("VIDEO") | taking("AUDIO")


def test_operations_on_audio_files_need_no_video_track() -> None:
    assert set(av_renderer.AUDIO_OPERATIONS) == taking("AUDIO") - EDITS | {"audio"}


def test_every_document_operation_is_implemented() -> None:
    assert set(document_renderer.OPERATIONS) == taking("DOCUMENT")


def test_every_filter_of_the_contract_is_implemented() -> None:
    assert {fields.FILTERS.Name(name) for name in FILTERS} == set(
        fields.enum_names(fields.FILTERS.DESCRIPTOR)
    )


def test_the_manual_of_operations_is_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "docs.gen", "--check"], cwd=DOCS.parent, check=False
    )
    assert check.returncode == 0


def test_images_of_the_manual_are_small() -> None:
    assert sum(path.stat().st_size for path in (DOCS / "operations").glob("*")) <= 1_500_000


def test_operations_and_filters_have_different_names() -> None:
    """So that the bare name of a filter is unambiguous. `preset` is reserved."""
    operations, filters = set(fields.operations()), set(fields.filters())
    assert not operations & filters
    assert "preset" not in operations | filters


def test_names_can_be_written_without_escapes() -> None:
    names = [*fields.operations(), *fields.filters()]
    names += [field.name for m in fields.operations().values() for field in m.fields]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


def test_the_text_operation_gets_no_new_flags() -> None:
    text = fields.parameters(fields.operations()["text"])
    assert {field.name for field in text if fields.type_name(field) == "bool"} == {"tile"}


def test_new_parameters_are_appended() -> None:
    """Positional parameters are in the order of the field numbers, which have no gaps."""
    for message in fields.operations().values():
        numbers = [field.number for field in fields.parameters(message)]
        assert numbers == list(range(1, len(numbers) + 1)), message.name
