"""Every operation and every filter renders like its reviewed golden image."""

import pytest

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.catalogue import catalogue
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS
from tests.support.media.goldens import FOLDER, golden
from tests.support.media.images import OVERLAY, Make

CHANGING = [
    manual
    for manual in catalogue()
    if "IMAGE" in manual.input_kinds and manual.name not in {"filter", *OUTPUT_OPERATIONS}
]
# The example of each operation, or one that suits a small image better, and further cases.
PIPELINES = {manual.name: manual.example for manual in CHANGING} | {
    "blur": "blur:3",
    "blur_wide": "blur:20",
    "blur_transparent": "round_corners:40,blur:4",
    "compose": f"compose:{OVERLAY}:x=-20:y=10:width=90",
    "compose_multiply": f"compose:{OVERLAY}:x=50:y=30:height=60:blend=MULTIPLY:opacity=0.8",
    "compose_transparent": f"round_corners:40,compose:{OVERLAY}:width=120:blend=DIFFERENCE",
    "crop": "crop:60x60:x=10:y=15",
    "crop_attention": "crop:40x60:gravity=ATTENTION",
    "flip": "flip",
    "pad": "pad:4:8:background=336699",
    "resize": "resize:60x60:fit=CONTAIN:background=ff880080",
    "resize_cover": "resize:50x70:fit=COVER:focal_x=0.3:focal_y=0.5",
    "rotate": "rotate:30:background=336699",
    "round_corners": "round_corners:30",
    "sharpen_transparent": "round_corners:40,sharpen:2:amount=2",
    "text": "text:Ünö Ωμέγα Жук:size=0.2:gravity=NORTH:color=ffee00",
    "text_tiled": "text:PROOF:size=0.15:degrees=-30:opacity=0.6:tile:margin=12",
    "trim": "pad:9:background=204060,trim",
    "watermark": f"watermark:{OVERLAY}:scale=0.4:opacity=0.7:margin=4",
    "watermark_tiled": f"watermark:{OVERLAY}:scale=0.25:tile:margin=6",
}
FILTERS = fields.filters()


@pytest.mark.parametrize("name", PIPELINES)
async def test_operations_match_their_golden_images(make: Make, name: str) -> None:
    golden(name, await make(PIPELINES[name]))


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_match_their_golden_images(make: Make, name: str) -> None:
    golden(f"filter_{name}", await make(name))


def test_every_golden_is_used() -> None:
    used = {*PIPELINES, *(f"filter_{name}" for name in FILTERS)}
    assert {path.stem for path in FOLDER.glob("*.png")} == used
