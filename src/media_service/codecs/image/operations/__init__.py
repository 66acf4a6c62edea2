"""What can be done to a picture: one file for each operation of the contract.

A function takes one frame, upright and in sRGB (three bands of 8 bits, or four with alpha), and the
operation's message with all defaults filled in, and returns the frame it makes of it. It only adds
to the graph of libvips; pixels are computed once, at the end, and read from top to bottom: one that
needs them otherwise, such as a rotation, makes them first (`copy_memory`).
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import pyvips

Image: TypeAlias = pyvips.Image


@dataclass(frozen=True, slots=True)
class Context:
    """What one step of a pipeline may need beside its frame. `overlays`: the pictures it names, by
    media id, upright and in sRGB, in memory. `decided` is the step's own: what it decided for the
    first frame of an animation, for all others."""

    overlays: Mapping[str, Image]
    decided: dict[str, Any]


Function: TypeAlias = Callable[[Image, Any, Context], Image]
F = TypeVar("F", bound=Function)

FUNCTIONS: dict[str, Function] = {}


def operation(name: str) -> Callable[[F], F]:
    """Registers the function of the operation that the contract calls `name`."""

    def register(function: F) -> F:
        FUNCTIONS[name] = function
        return function

    return register


def load() -> Mapping[str, Function]:
    """Imports all of them."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return FUNCTIONS
