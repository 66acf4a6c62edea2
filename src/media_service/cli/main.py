"""The command group. Commands are imported when they run, so `ls` imports no server code."""

import importlib
from collections.abc import Mapping

import click

# name → (module:attribute, short help)
COMMANDS: Mapping[str, tuple[str, str]] = {
    "dev": ("media_service.cli.dev:dev", "Run everything on this machine."),
    "serve": ("media_service.cli.serve:serve", "Run the gRPC server."),
    "work": ("media_service.cli.work:work", "Run a worker."),
    "migrate": ("media_service.cli.migrate:migrate", "Upgrade the database schema."),
    "reconcile": (
        "media_service.cli.reconcile:reconcile",
        "Compare the database with the stores, and repair.",
    ),
    "rescan": (
        "media_service.cli.rescan:rescan",
        "Scan all files again, after local signatures have changed.",
    ),
    "adopt-store": (
        "media_service.cli.adopt_store:adopt_store",
        "Use a store that the database does not know.",
    ),
    "org": ("media_service.cli.sharing:org", "Manage organizations."),
    "group": ("media_service.cli.group:group", "Manage groups of an organization."),
    "project": ("media_service.cli.project:project", "Manage projects."),
    "collection": ("media_service.cli.collection:collection", "Manage collections of media."),
    "grant": ("media_service.cli.sharing:grant", "Give others access, and take it back."),
    "quota": ("media_service.cli.quota:quota", "Limit what accounts store."),
    "policy": ("media_service.cli.policy:policy", "Limit what projects accept of uploads."),
    "block": ("media_service.cli.blocklist:block", "Block files, and images that look like them."),
    "admin": ("media_service.cli.admin:admin", "Make users administrators."),
    "config": ("media_service.cli.config:config", "Show all settings and their values."),
    "envoy-config": ("media_service.cli.envoy_config:envoy_config", "Print Envoy's configuration."),
    "protos": ("media_service.cli.protos:protos", "Write the .proto files of the contract."),
    "upload": ("media_service.cli.upload:upload", "Upload files."),
    "download": ("media_service.cli.download:download", "Download a file."),
    "ls": ("media_service.cli.media:ls", "List media."),
    "search": ("media_service.cli.search:search", "Find media by words."),
    "duplicates": ("media_service.cli.duplicates:duplicates", "List media that exist twice."),
    "merge": ("media_service.cli.duplicates:merge", "Merge media into one of them."),
    "show": ("media_service.cli.media:show", "Show the properties of a media."),
    "link": ("media_service.cli.link:link", "Sign a URL that reads a media without a token."),
    "archive": ("media_service.cli.archive:archive", "Put several media into a ZIP archive."),
    "tag": ("media_service.cli.changes:tag", "Add and remove tags of a media."),
    "visibility": ("media_service.cli.changes:visibility", "Make media public or private."),
    "rm": ("media_service.cli.changes:rm", "Delete media."),
    "transfer": (
        "media_service.cli.changes:transfer",
        "Give media to another owner or project.",
    ),
    "copy": ("media_service.cli.changes:copy", "Copy media."),
    "undelete": ("media_service.cli.changes:undelete", "Restore deleted media."),
    "trash": ("media_service.cli.trash:trash", "List deleted media, or purge them."),
    "versions": ("media_service.cli.versions:versions", "List the versions of a media."),
    "restore": ("media_service.cli.versions:restore", "Restore a version of a media."),
    "uploads": ("media_service.cli.uploads:uploads", "List uploads."),
    "abort": ("media_service.cli.uploads:abort", "End uploads that have not ended."),
    "process": ("media_service.cli.processing:process", "Start a job that creates a rendition."),
    "reprocess": (
        "media_service.cli.processing:reprocess",
        "Render the standard renditions of a media anew.",
    ),
    "operations": ("media_service.cli.processing:operations", "List the operations of pipelines."),
    "jobs": ("media_service.cli.jobs:jobs", "List jobs."),
    "cancel": ("media_service.cli.jobs:cancel", "Cancel jobs."),
    "retry": ("media_service.cli.jobs:retry", "Retry failed or cancelled jobs."),
    "service-account": (
        "media_service.cli.service_account:service_account",
        "Create, list and delete service accounts.",
    ),
    "api-key": (
        "media_service.cli.api_key:api_key",
        "Create, list and revoke API keys of service accounts.",
    ),
    "share-link": (
        "media_service.cli.share_link:share_link",
        "Share media with people who have no account.",
    ),
    "webhook": ("media_service.cli.webhook:webhook", "Send events to URLs."),
    "events": ("media_service.cli.events:events", "Follow events, and show how far they are."),
    "audit": ("media_service.cli.audit:audit", "Read and verify the audit log."),
    "erase": ("media_service.cli.privacy:erase", "Erase a person, and verify that."),
    "export-user": (
        "media_service.cli.privacy:export_user",
        "Write all that is kept of a person.",
    ),
    "token": ("media_service.cli.token:token", "Create an access token."),
}


class LazyGroup(click.Group):
    """A group that imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - COMMANDS names only commands
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.version_option(package_name="media-service", message="%(prog)s %(version)s")
@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Stores, processes and serves media.

    \b
    Try it while `make dev` or `media-service dev` runs:
      media-service upload holiday.mp4 phone.jpg
      media-service ls --filter 'kind=IMAGE'
      media-service download ID -o copy.jpg

    Every command explains itself: media-service COMMAND --help

    \b
    Completion of commands and options, in ~/.bashrc (or zsh, or fish):
      eval "$(_MEDIA_SERVICE_COMPLETE=bash_source media-service)"
    """
