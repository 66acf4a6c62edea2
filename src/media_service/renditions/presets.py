"""What media get by themselves: renditions by pipelines, one job each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media_service.codecs.pipeline.pipeline import Pipeline, requested_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.pipeline.validation import parse
from media_service.db.new_job import NewJob
from media_service.jobs.model import JobKind
from media_service.media.model import STREAM, Kind, Media


@dataclass(frozen=True, slots=True)
class Preset:
    """A rendition, and the pipeline that makes it."""

    name: str
    plan: Pipeline
    heavy: bool


class Presets:
    """`texts`: for each kind, the pipelines in their text form, by the names of the renditions;
    they are asked for in this order."""

    def __init__(self, texts: Mapping[Kind, Mapping[str, str]]) -> None:
        """Raises MediaError for a pipeline that is none, or not for its kind; ValueError for a
        stream by another name."""
        self._presets = {
            kind: [preset(kind, name, text) for name, text in found.items()]
            for kind, found in texts.items()
        }

    @property
    def names(self) -> Sequence[str]:
        """Of all renditions."""
        return list(dict.fromkeys(p.name for found in self._presets.values() for p in found))

    def jobs(self, media: Media, info: Mapping[str, Any]) -> list[NewJob]:
        """What is to be made of a media. `info`: what was found in it."""
        return [
            NewJob(
                JobKind.PROCESS,
                media.media_id,
                media.owner,
                pipeline=preset.plan.text,
                rendition=preset.name,
                done=media.made(preset.name, preset.plan.text) is not None,
                heavy=preset.heavy,
                project_id=media.project_id,
            )
            for preset in self._presets.get(kind_of(media, info), ())
        ]


def kind_of(media: Media, info: Mapping[str, Any]) -> Kind:
    """A film without pictures is a sound."""
    return Kind.AUDIO if media.kind is Kind.VIDEO and not info.get("width") else media.kind


def preset(kind: Kind, name: str, text: str) -> Preset:
    found = requested_pipeline(parse(text))
    heavy = find_route(found.text, kind).heavy
    if found.makes_stream is not (name == STREAM):
        raise ValueError(f"a stream, and nothing else, is called {STREAM!r}")
    return Preset(name, found, heavy)
