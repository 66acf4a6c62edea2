"""What the contract says of operations is what there is."""

import subprocess
import sys
from pathlib import Path

from media_service.codecs.image import operations
from media_service.codecs.image.colors.filters import FILTERS
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_operation_of_pictures_has_a_function():
    pictures = {
        name for name, made in fields.operations().items() if "IMAGE" in fields.input_kinds(made)
    }
    assert set(operations.load()) == pictures - set(OUTPUT_OPERATIONS)


def test_every_filter_has_a_recipe():
    assert {fields.FILTERS.Name(name) for name in FILTERS} == set(
        fields.enum_names(fields.FILTERS.DESCRIPTOR)
    )


def test_the_manual_of_operations_is_fresh():
    check = subprocess.run(
        [sys.executable, "-m", "docs.gen", "--check"], cwd=DOCS.parent, check=False
    )
    assert check.returncode == 0


def test_the_pictures_of_the_manual_are_small():
    assert sum(path.stat().st_size for path in (DOCS / "operations").glob("*")) <= 1_500_000
