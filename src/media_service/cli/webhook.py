"""`media-service webhook`: URLs that events are sent to."""

from collections.abc import Sequence
from datetime import timedelta

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.duration import Duration
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service.clock import now
from media_service_client import Client, Webhook, WebhookDelivery

TYPES = "Only such events: media.created, media.*"
PROJECTS = "Only events of this project."
KEEP_IT = "Keep the secret now. It cannot be shown again."


@click.group()
def webhook() -> None:
    """Sends events to URLs.

    In a pipe, the output is one line per webhook: id, state, resource, types, url and description,
    separated by tabs.
    """


@webhook.command(
    epilog="""\b
Examples:
  media-service webhook create https://hooks.example.com/media --type 'media.*'
  media-service webhook create https://hooks.example.com/media --resource project:spring
"""
)
@click.argument("url", metavar="URL")
@click.option(
    "--resource",
    default="",
    metavar="RESOURCE",
    help="Whose events: project:ID or organization:ID. Default: what you own.",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help=TYPES)
@click.option("--project", "projects", multiple=True, metavar="ID", help=PROJECTS)
@click.option("--description", default="", metavar="TEXT", help="What people call the webhook.")
@json_option
@client_command
def create(
    client: Client,
    url: str,
    resource: str,
    types: tuple[str, ...],
    projects: tuple[str, ...],
    description: str,
    json_: bool,
) -> None:
    """Creates a webhook, and prints its secret, with which its receiver verifies signatures. It
    cannot be shown again."""
    created = client.create_webhook(
        url,
        resource=resource,
        event_types=types,
        project_ids=projects,
        description=description,
    )
    if json_:
        print_json(created)
    else:
        click.echo(created.secret)
        output.complain(f"webhook {created.webhook.webhook_id}. {KEEP_IT}")


@webhook.command("list")
@click.option(
    "--resource", default="", metavar="RESOURCE", help="All of project:ID or organization:ID."
)
@json_option
@client_command
def list_(client: Client, resource: str, json_: bool) -> None:
    """Lists the webhooks of what you own, or all of a resource, newest first."""
    for each in client.webhooks(resource=resource):
        print_webhook(each, as_json=json_)


@webhook.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@json_option
@client_command
def show(client: Client, webhook_id: str, json_: bool) -> None:
    """Shows a webhook, and why it is disabled if it is."""
    found = client.webhook(webhook_id)
    print_webhook(found, as_json=json_)
    if found.disable_reason and not json_:
        output.complain(f"disabled: {found.disable_reason}")


@webhook.command(
    epilog="""\b
Examples:
  media-service webhook change WEBHOOK --type media.ready --type media.failed
  media-service webhook change WEBHOOK --all-types --enable
"""
)
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--url", metavar="URL", help="Where events are sent.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help=TYPES)
@click.option("--all-types", is_flag=True, help="Events of all types.")
@click.option("--project", "projects", multiple=True, metavar="ID", help=PROJECTS)
@click.option("--all-projects", is_flag=True, help="Events of all projects.")
@click.option("--description", metavar="TEXT", help="What people call the webhook.")
@click.option("--enable/--disable", "enabled", default=None, help="Whether events are sent.")
@json_option
@client_command
def change(
    client: Client,
    webhook_id: str,
    url: str | None,
    types: tuple[str, ...],
    all_types: bool,
    projects: tuple[str, ...],
    all_projects: bool,
    description: str | None,
    enabled: bool | None,
    json_: bool,
) -> None:
    """Changes a webhook. Its secret stays."""
    given = {
        "url": url,
        "event_types": chosen(types, all_types, "--type"),
        "project_ids": chosen(projects, all_projects, "--project"),
        "description": description,
        "enabled": enabled,
    }
    fields = {field: value for field, value in given.items() if value is not None}
    if not fields:
        raise click.UsageError("name at least one option")
    print_webhook(client.update_webhook(webhook_id, fields, **fields), as_json=json_)


@webhook.command(epilog="Example: media-service webhook rotate WEBHOOK --overlap 1h")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option(
    "--overlap",
    type=Duration(),
    metavar="SPAN",
    help="How long the old secret signs, too. Default: a day.",
)
@click.option("--at-once", is_flag=True, help="The old secret signs no more, as after a leak.")
@json_option
@client_command
def rotate(
    client: Client, webhook_id: str, overlap: timedelta | None, at_once: bool, json_: bool
) -> None:
    """Replaces the secret of a webhook, and prints the new one. It cannot be shown again."""
    if at_once and overlap is not None:
        raise click.UsageError("--at-once and --overlap exclude each other")
    rotated = client.rotate_webhook_secret(webhook_id, ttl=timedelta() if at_once else overlap)
    if json_:
        print_json(rotated)
    else:
        click.echo(rotated.secret)
        output.complain(KEEP_IT)


@webhook.command()
@click.argument("webhook_ids", nargs=-1, required=True, metavar="WEBHOOK...")
@client_command
def delete(client: Client, webhook_ids: tuple[str, ...]) -> None:
    """Deletes webhooks and their logs."""
    for_each(webhook_ids, client.delete_webhook)


@webhook.command()
@click.argument("webhook_id", metavar="WEBHOOK")
@json_option
@client_command
def log(client: Client, webhook_id: str, json_: bool) -> None:
    """Lists the deliveries of a webhook, newest first.

    In a pipe, each line has the id of the event, the state, the type, the number of attempts, the
    HTTP status of the last one, and why it failed, separated by tabs.
    """
    for delivery in client.webhook_deliveries(webhook_id):
        if json_:
            print_json(delivery)
        else:
            click.echo(delivery_line(delivery))


@webhook.command(
    epilog="""\b
Examples:
  media-service webhook redeliver WEBHOOK EVENT
  media-service webhook redeliver WEBHOOK --since 24h
"""
)
@click.argument("webhook_id", metavar="WEBHOOK")
@click.argument("event_ids", nargs=-1, metavar="[EVENT...]")
@click.option("--since", type=Duration(), metavar="SPAN", help="All of the last 24h, 7d or so.")
@click.option("--delivered", is_flag=True, help="With --since: also what has arrived.")
@json_option
@client_command
def redeliver(
    client: Client,
    webhook_id: str,
    event_ids: tuple[str, ...],
    since: timedelta | None,
    delivered: bool,
    json_: bool,
) -> None:
    """Sends events in the log again, or all since a time that have not arrived. Prints how many."""
    if bool(event_ids) == (since is not None) or (delivered and since is None):
        raise click.UsageError("name either events, or --since")
    if since is not None:
        sent = client.redeliver_webhook_events(webhook_id, now() - since, delivered=delivered)
    else:
        for_each(event_ids, lambda event: client.redeliver_webhook_event(webhook_id, event))
        sent = len(event_ids)
    if json_:
        print_json({"redelivered": sent})
    else:
        click.echo(sent)


def chosen(names: Sequence[str], every: bool, option: str) -> list[str] | None:
    """The names to filter by; empty: no filter; None: leave it as it is."""
    if every and names:
        raise click.UsageError(f"{option} and --all-{option[2:]}s exclude each other")
    return list(names) if names or every else None


def print_webhook(found: Webhook, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    state = "FAILING" if found.HasField("failing_time") else "ENABLED"
    types, description = ",".join(found.event_types) or "*", output.printable(found.description)
    fields = [
        found.webhook_id,
        state if found.enabled else "DISABLED",
        found.resource or found.creator,
        types,
        found.url,
        description,
    ]
    click.echo("\t".join(fields))


def delivery_line(delivery: WebhookDelivery) -> str:
    fields = [
        delivery.event_id,
        WebhookDelivery.State.Name(delivery.state),
        delivery.event_type,
        str(delivery.attempts),
        str(delivery.status or "-"),
        output.printable(delivery.error),
    ]
    return "\t".join(fields)
