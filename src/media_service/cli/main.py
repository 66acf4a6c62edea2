"""The command group. A command is imported when it runs, so `ls` imports no server code."""

import importlib
from collections.abc import Mapping

import click

# name → (module:attribute, short help)
COMMANDS: Mapping[str, tuple[str, str]] = {
    "dev": ("media_service.cli.dev:dev", "Run everything on this machine."),
    "serve": ("media_service.cli.serve:serve", "Run the gRPC server."),
    "work": ("media_service.cli.work:work", "Run a worker."),
    "migrate": ("media_service.cli.migrate:migrate", "Bring the database up to date."),
    "reconcile": ("media_service.cli.reconcile:reconcile", "Check that everything is there."),
    "config": ("media_service.cli.config:config", "Show every setting and its value."),
    "envoy-config": ("media_service.cli.envoy_config:envoy_config", "Print Envoy's configuration."),
    "protos": ("media_service.cli.protos:protos", "Write the contract's .proto files."),
    "upload": ("media_service.cli.upload:upload", "Store files."),
    "download": ("media_service.cli.download:download", "Fetch a file."),
    "ls": ("media_service.cli.media:ls", "List what is stored."),
    "show": ("media_service.cli.media:show", "Show all that is known of one media."),
    "link": ("media_service.cli.link:link", "Make a URL that reads a media without a token."),
    "rm": ("media_service.cli.media:rm", "Delete media."),
    "process": ("media_service.cli.processing:process", "Make another form of a media."),
    "operations": ("media_service.cli.processing:operations", "Show what can be made."),
    "jobs": ("media_service.cli.jobs:jobs", "List the work on your media."),
    "cancel": ("media_service.cli.jobs:cancel", "End jobs."),
    "retry": ("media_service.cli.jobs:retry", "Do jobs again that failed or were cancelled."),
    "token": ("media_service.cli.token:token", "Make an access token."),
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
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Stores, processes and serves media.

    \b
    Try it while `make dev` or `media-service dev` runs:
      media-service upload holiday.mp4 phone.jpg
      media-service ls --filter 'kind=IMAGE'
      media-service download ID -o copy.jpg

    Every command explains itself: media-service COMMAND --help
    """
