"""Blend modes of W3C Compositing and Blending Level 1, of one channel: 0 to 1.

`under` is the value of the image, and `over` is the value of the layer.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

Mode: TypeAlias = Callable[[float, float], float]


def multiply(under: float, over: float) -> float:
    return under * over


def screen(under: float, over: float) -> float:
    return under + over - under * over


def hard_light(under: float, over: float) -> float:
    return multiply(under, 2 * over) if over <= 0.5 else screen(under, 2 * over - 1)


def overlay(under: float, over: float) -> float:
    return hard_light(over, under)


def darken(under: float, over: float) -> float:
    return min(under, over)


def lighten(under: float, over: float) -> float:
    return max(under, over)


def color_dodge(under: float, over: float) -> float:
    if under == 0:
        return 0
    return 1 if over == 1 else min(1, under / (1 - over))


def color_burn(under: float, over: float) -> float:
    if under == 1:
        return 1
    return 0 if over == 0 else 1 - min(1, (1 - under) / over)


def soft_light(under: float, over: float) -> float:
    if over <= 0.5:
        return under - (1 - 2 * over) * under * (1 - under)
    lit = ((16 * under - 12) * under + 4) * under if under <= 0.25 else math.sqrt(under)
    return under + (2 * over - 1) * (lit - under)


def exclusion(under: float, over: float) -> float:
    return under + over - 2 * under * over
