"""`media-service search`: media by words, and counts of them."""

from itertools import islice

import click
from mediaservice.v1.media_service_pb2 import CountFacetsRequest, SearchMediaResponse

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service.cli.media import PAGE
from media_service_client import Client


@click.command(
    epilog="""\b
Examples:
  media-service search sunset beach
  media-service search 'IMG_20' --filter kind=IMAGE
  media-service search '"exact words" -without' --json
  media-service search lake --facets
"""
)
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--filter", "filter_", default="", metavar="EXPRESSION", help="Only media that match."
)
@click.option("--all", "everything", is_flag=True, help=f"List all, not only the first {PAGE}.")
@click.option("--facets", is_flag=True, help="Count the kinds, types, tags, projects and months.")
@json_option
@client_command
def search(
    client: Client,
    words: tuple[str, ...],
    filter_: str,
    everything: bool,
    facets: bool,
    json_: bool,
) -> None:
    """Finds media with these words in their names, tags, labels, descriptions and texts.

    In a pipe, the output is one line per media, as that of ls; with --facets, one line per value:
    dimension, value and count, separated by tabs.
    """
    query = " ".join(words)
    if facets:
        print_facets(client, query, filter_, json_=json_)
        return
    found = client.search(query, filter=filter_, page_size=1000 if everything else PAGE + 1)
    shown = found if everything else islice(found, PAGE)
    if json_:
        for hit in shown:
            print_json(hit)
    elif output.on_terminal():
        hits = list(shown)
        output.table([hit.media for hit in hits])
        for hit in hits:
            for line in map(marked, hit.highlights):
                click.echo(f"{hit.media.media_id}  {line}")
    else:
        for hit in shown:
            output.print_media(hit.media, as_json=False)
    if not everything and next(found, None):
        click.echo(f"The first {PAGE}; --all lists the rest.", err=True)


def marked(highlight: SearchMediaResponse.Highlight) -> str:
    """The text, with the words in bold."""
    pieces = (
        click.style(output.printable(each.text), bold=each.match) for each in highlight.fragments
    )
    return f"{highlight.field}: {''.join(pieces)}"


def print_facets(client: Client, query: str, filter_: str, *, json_: bool) -> None:
    found = client.count_facets(query, filter=filter_)
    if json_:
        print_json(found, indent=2)
        return
    for facet in found.facets:
        name = CountFacetsRequest.Dimension.Name(facet.dimension).lower()
        for each in facet.values:
            click.echo(f"{name}\t{output.printable(each.value)}\t{each.count}")
        if facet.more_values:
            click.echo(f"There are more values of {name}.", err=True)
    if found.truncated:
        click.echo(f"More media match; {found.media_count} of them are counted.", err=True)
