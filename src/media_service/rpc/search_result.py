"""Converts what searches find to messages."""

from collections.abc import Sequence

from mediaservice.v1 import media_pb2
from mediaservice.v1.media_service_pb2 import (
    CountFacetsRequest,
    CountFacetsResponse,
    SearchMediaResponse,
)

from media_service.search.model import Facets, Highlight


def hit_to_message(
    media: media_pb2.Media, highlights: Sequence[Highlight]
) -> SearchMediaResponse.Hit:
    return SearchMediaResponse.Hit(
        media=media,
        highlights=[
            SearchMediaResponse.Highlight(
                field=each.field,
                fragments=[
                    SearchMediaResponse.Fragment(text=piece.text, match=piece.matches)
                    for piece in each.fragments
                ],
            )
            for each in highlights
        ],
    )


def facets_to_message(found: Facets) -> CountFacetsResponse:
    return CountFacetsResponse(
        facets=[
            CountFacetsResponse.Facet(
                dimension=CountFacetsRequest.Dimension.Value(facet.dimension),
                values=[
                    CountFacetsResponse.ValueCount(value=value, count=count)
                    for value, count in facet.counts
                ],
                more_values=facet.more,
            )
            for facet in found.facets
        ],
        media_count=found.counted,
        truncated=found.truncated,
    )
