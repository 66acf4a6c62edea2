"""The recipes of the named filters.

Most follow CSSgram by Una Kravets (MIT), which recreates the filters of the app with the filters
and blend modes of CSS: first the layers, then the filters. Amaro, Hefe, Juno, Ludwig and Sutro are
our own.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors.blend import (
    color_burn,
    color_dodge,
    darken,
    exclusion,
    lighten,
    multiply,
    overlay,
    screen,
    soft_light,
)
from media_service.codecs.image.colors.effects import (
    brightness,
    color_of,
    contrast,
    downwards,
    grayscale,
    hue_of,
    hue_rotate,
    layer,
    radial,
    rightwards,
    saturate,
    sepia,
)
from media_service.codecs.image.colors.steps import Step

Name = Operation.Filter.Name

RECIPES: dict["Name.ValueType", tuple[Step, ...]] = {
    Name.CLARENDON: (layer(overlay, "7fbbe3", 0.2), contrast(1.2), saturate(1.35)),
    Name.GINGHAM: (layer(soft_light, "e6e6fa"), brightness(1.05), hue_rotate(-10)),
    # Colder shadows and warmer lights, so that red and yellow stand out.
    Name.JUNO: (
        layer(soft_light, "d8f0d0", 0.25),
        layer(multiply, "fff6dc", 0.6),
        layer(lighten, "0c2a30", 0.5),
        contrast(1.12),
        saturate(1.3),
    ),
    Name.LARK: (
        layer(color_dodge, "22253f"),
        layer(darken, "f2f2f2", 0.8),
        contrast(0.9),
    ),
    Name.ADEN: (
        rightwards(darken, (0, "420a0e", 0.2), (1, "420a0e", 0)),
        hue_rotate(-20),
        contrast(0.9),
        saturate(0.85),
        brightness(1.2),
    ),
    # Light from the center, faded blue shadows.
    Name.AMARO: (
        radial(screen, (0, "fff4d6", 0.28), (0.75, "fff4d6", 0)),
        radial(multiply, (0.55, "1c2440", 0), (1, "1c2440", 0.45)),
        layer(lighten, "182848", 0.55),
        hue_rotate(-6),
        contrast(0.95),
        saturate(1.25),
        brightness(1.06),
    ),
    Name.BRANNAN: (layer(lighten, "a12cc7", 0.31), sepia(0.5), contrast(1.4)),
    Name.BROOKLYN: (
        radial(overlay, (0.7, "a8dfc1", 0.4), (1, "c4b7c8", 1)),
        contrast(0.9),
        brightness(1.1),
    ),
    Name.EARLYBIRD: (
        radial(overlay, (0.2, "d0ba8e", 1), (0.85, "360309", 1), (1, "1d0210", 1)),
        contrast(0.9),
        sepia(0.2),
    ),
    Name.HUDSON: (
        radial(multiply, (0.5, "a6b1ff", 1), (1, "342134", 1), opacity=0.5),
        brightness(1.2),
        contrast(0.9),
        saturate(1.1),
    ),
    Name.INKWELL: (sepia(0.3), contrast(1.1), brightness(1.1), grayscale()),
    Name.KELVIN: (layer(color_dodge, "382c34"), layer(overlay, "b77d21")),
    Name.LOFI: (
        radial(multiply, (0.7, "222222", 0), (1.5, "222222", 1)),
        saturate(1.1),
        contrast(1.5),
    ),
    Name.MAVEN: (
        hue_of("03e61a", 0.2),
        sepia(0.25),
        brightness(0.95),
        contrast(0.95),
        saturate(1.5),
    ),
    Name.MAYFAIR: (
        radial(
            overlay,
            (0, "ffffff", 0.8),
            (0.3, "ffc8c8", 0.6),
            (0.6, "111111", 1),
            center=(0.4, 0.4),
            opacity=0.4,
        ),
        contrast(1.1),
        saturate(1.1),
    ),
    Name.MOON: (
        layer(soft_light, "a0a0a0"),
        layer(lighten, "383838"),
        grayscale(),
        contrast(1.1),
        brightness(1.1),
    ),
    Name.NASHVILLE: (
        layer(darken, "f7b099", 0.56),
        layer(lighten, "004696", 0.4),
        sepia(0.2),
        contrast(1.2),
        brightness(1.05),
        saturate(1.2),
    ),
    Name.PERPETUA: (downwards(soft_light, (0, "005b9a", 0.5), (1, "e6c13d", 0.5)),),
    Name.REYES: (
        layer(soft_light, "efcdad", 0.5),
        sepia(0.22),
        brightness(1.1),
        contrast(0.85),
        saturate(0.75),
    ),
    Name.RISE: (
        radial(multiply, (0.55, "eccda9", 0.15), (1, "321e07", 0.4)),
        radial(overlay, (0, "e8c598", 0.8), (0.9, "e8c598", 0), opacity=0.6),
        brightness(1.05),
        sepia(0.2),
        contrast(0.9),
        saturate(0.9),
    ),
    Name.SLUMBER: (
        layer(lighten, "45290c", 0.4),
        layer(soft_light, "7d6918", 0.5),
        saturate(0.66),
        brightness(1.05),
    ),
    Name.STINSON: (
        layer(soft_light, "f09580", 0.2),
        contrast(0.75),
        saturate(0.85),
        brightness(1.15),
    ),
    # Dark and smoky, with burnt edges.
    Name.SUTRO: (
        radial(multiply, (0.35, "3a1c3c", 0), (1, "3a1c3c", 0.8)),
        layer(lighten, "2c1a30", 0.6),
        sepia(0.25),
        saturate(0.9),
        brightness(0.85),
        contrast(1.15),
    ),
    Name.TOASTER: (
        radial(screen, (0, "804e0f", 1), (1, "3b003b", 1)),
        contrast(1.5),
        brightness(0.9),
    ),
    Name.VALENCIA: (
        layer(exclusion, "3a0339", 0.5),
        contrast(1.08),
        brightness(1.08),
        sepia(0.08),
    ),
    Name.WALDEN: (
        layer(screen, "0044cc", 0.3),
        brightness(1.1),
        hue_rotate(-10),
        sepia(0.3),
        saturate(1.6),
    ),
    Name.WILLOW: (
        radial(overlay, (0.55, "d4a9af", 1), (1.5, "000000", 1)),
        color_of("d8cdcb"),
        grayscale(0.5),
        contrast(0.95),
        brightness(0.9),
    ),
    Name.XPRO2: (
        radial(color_burn, (0.4, "e6e7e0", 1), (1.1, "2b2aa1", 0.6)),
        sepia(0.3),
    ),
    # Strong and warm, darker towards the edges.
    Name.HEFE: (
        radial(multiply, (0.5, "4a2410", 0), (1, "4a2410", 0.7)),
        layer(overlay, "ffc070", 0.2),
        contrast(1.15),
        saturate(1.3),
    ),
    # Light and a little faded; keeps red.
    Name.LUDWIG: (
        layer(soft_light, "f4e2c4", 0.35),
        layer(lighten, "1e1a20", 0.6),
        saturate(0.82),
        contrast(1.08),
        brightness(1.04),
    ),
}

FILTERS: Mapping["Name.ValueType", tuple[Step, ...]] = MappingProxyType(RECIPES)
