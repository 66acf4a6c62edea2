"""Presets: the renditions that every media of a kind gets. A job with a pipeline renders each
one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from media_service.codecs.inspection import Info, VideoInfo
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.route import Route, find_route
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.db.new_job import NewJob
from media_service.media.model import STREAM, Kind, Media
from media_service.renditions.foreign_kind import kind_of_job

AV_KINDS = {Kind.VIDEO, Kind.AUDIO}


@dataclass(frozen=True, slots=True)
class Preset:
    """A rendition and the pipeline that renders it, with its route."""

    name: str
    pipeline: Pipeline
    route: Route


class Presets:
    """The presets of all kinds. `texts` has, for each kind, the names of renditions and their
    pipelines in text form. The jobs start in this order. `others`: of the kinds not in `texts`.
    `foreign`: see `kind_of_job`."""

    def __init__(
        self,
        texts: Mapping[Kind, Mapping[str, str]],
        others: Mapping[Kind, Sequence[Preset]] = {},
        foreign: Collection[str] = (),
    ) -> None:
        """Raises MediaError for a pipeline that is invalid or does not apply to its kind, and
        ValueError for a stream with another name than "stream"."""
        self.foreign = foreign
        self._presets: Mapping[Kind, Sequence[Preset]] = {
            **others,
            **{
                kind: [preset(kind, name, text) for name, text in found.items()]
                for kind, found in texts.items()
            },
        }

    def replaced(self, texts: Mapping[Kind, Mapping[str, str]]) -> "Presets":
        """The same with other presets for the kinds in `texts`, which policies state."""
        return Presets(texts, self._presets, self.foreign) if texts else self

    @property
    def names(self) -> Sequence[str]:
        """The names of all renditions."""
        return list(dict.fromkeys(p.name for found in self._presets.values() for p in found))

    def expected(self, kind: Kind) -> Collection[str]:
        """The names of the renditions that a new media of this kind may get. Only inspection finds
        out whether a file with video and audio is a video or an audio file."""
        return expected_names(
            {each: [p.name for p in found] for each, found in self._presets.items()}, kind
        )

    def jobs(self, media: Media, info: Info, *, anew: bool = False) -> list[NewJob]:
        """Returns the jobs of a media's presets. `info` is the result of inspection. `anew`: render
        those that exist, too."""
        return [
            NewJob(
                kind_of_job(preset.pipeline, self.foreign),
                media.media_id,
                media.owner,
                pipeline=preset.pipeline.text,
                rendition=preset.name,
                done=not anew and media.rendered(preset.name, preset.pipeline.text) is not None,
                heavy=preset.route.is_heavy(info),
                project_id=media.project_id,
                anew=anew,
            )
            for preset in self._presets.get(kind_of(media, info), ())
        ]


def expected_names(names: Mapping[Kind, Iterable[str]], kind: Kind) -> Collection[str]:
    """Of the names of renditions by kind, those that a new media of this kind may get. See
    `Presets.expected`."""
    kinds = AV_KINDS if kind in AV_KINDS else {kind}
    return {name for each in kinds for name in names.get(each, ())}


def kind_of(media: Media, info: Info) -> Kind:
    """Returns the kind whose presets apply. A video file without a video track counts as audio."""
    return Kind.AUDIO if isinstance(info, VideoInfo) and not info.width else media.kind


def preset(kind: Kind, name: str, text: str) -> Preset:
    found = parsed_pipeline(text)
    route = find_route(found, kind)
    if found.makes_stream is not (name == STREAM):
        raise ValueError(f"the name {STREAM!r} is reserved for streams, and required for them")
    return Preset(name, found, route)
