"""The command `chaser-callback`.

A command imports its modules when it runs. Otherwise `--help` and Tab would wait for the imports of the whole service.
"""

import gc
import io
import os
import sys
from typing import Annotated, Any

import typer

from app.cli.api_key_command import keys
from app.cli.blocklist_command import blocklist
from app.cli.call_command import call
from app.cli.callbacks_command import callbacks
from app.cli.check_command import check
from app.cli.db_command import db
from app.cli.exit_codes import CODES, REFUSED, UNREACHABLE, fail, settings_or_fail
from app.cli.statistics_command import statistics
from app.cli.websites_command import websites

cli = typer.Typer(
    name="chaser-callback",
    help="A visitor types a phone number on your site and is called back through Chaser.",
    epilog=CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]


@cli.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        from app.version import VERSION

        typer.echo(VERSION)
        raise typer.Exit


@cli.command()
def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run the service. Settings come from the environment and callback.toml."""
    gc.disable()  # objects made during startup live as long as the process: collecting them only delays the start
    from app.errors import ServiceError
    from app.logs import configure_logging
    from app.main import create_app
    from app.outbox.database import DatabaseError
    from app.outbox.outbox import Outbox
    from app.serving import ListenError, Server, allow_open_files, side_servers

    settings = settings_or_fail()
    configure_logging()
    try:
        outbox = Outbox.open(settings.database_url)
    except (DatabaseError, ServiceError) as error:
        fail(UNREACHABLE, str(error))
    allow_open_files()
    app = create_app(settings, outbox=outbox)
    try:
        beside = side_servers(app, app.open_metrics, app.metrics, settings)
    except ListenError as error:
        outbox.close()
        fail(UNREACHABLE, str(error))
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # requests make no cycles: with Python's 700 collecting uses a tenth of their CPU
    gc.enable()
    Server(app, app.end, app.metrics, host, port, beside).run()


@cli.command()
def simulator(
    host: Host = "127.0.0.1",
    port: Port = 8001,
    service_url: Annotated[str, typer.Option(help="Where /shop loads the widget from.")] = "http://127.0.0.1:8000",
    always_open: Annotated[
        bool, typer.Option("--always-open", help="Round the clock, instead of 9:00 to 18:00 from Monday to Friday.")
    ] = False,
) -> None:
    """Run a simulator of Chaser to develop against, with a page that shows calls as they ring."""
    from app.simulator.options import ALWAYS_OPEN
    from app.simulator.simulator_command import run_simulator

    try:
        run_simulator(host, port, service_url=service_url, hours=ALWAYS_OPEN if always_open else None)
    except OSError as error:
        fail(UNREACHABLE, f"--port: can't listen on {host}:{port}: {error.strerror}: choose another")


@cli.command()
def demo(port: Port = 8000, simulator_port: Port = 8001) -> None:
    """Run the service and the simulator together, with their data in a temporary folder."""
    from app.demo import run_demo

    raise typer.Exit(run_demo(port, simulator_port))


cli.command()(check)
cli.command()(websites)
cli.command()(statistics)
cli.command()(call)
cli.add_typer(callbacks, name="callbacks")
cli.add_typer(blocklist, name="blocklist")
cli.add_typer(db, name="db")
cli.add_typer(keys, name="api-key")


def main() -> None:
    """Run the command and end the process with its exit code; the entry point of the package."""
    sys.exit(_run())


def _run() -> Any:
    # Databases, exports and snapshots hold phone numbers: other users of the machine must not read them.
    os.umask(0o077)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Visitors' text can hold characters outside the terminal's encoding; printing them would raise.
        sys.stdout.reconfigure(errors="replace")
    try:
        return cli(standalone_mode=False)
    except typer.TyperException as error:
        # One line, as for every other error. The message is empty if the help was shown.
        if message := error.format_message():
            typer.echo(message, err=True)
        return error.exit_code
    except typer.Abort:
        typer.echo("Nothing was done.", err=True)
        return REFUSED


if __name__ == "__main__":
    main()
