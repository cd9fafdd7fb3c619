"""A small disk for one process: a tmpfs in a mount namespace, which ends with the process."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_MOUNT = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'

_QUERY_SQLITE = """
import json, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10)
print(json.dumps(database.execute(sys.argv[2]).fetchall()))
"""


class SmallDisk:
    """A folder that is a small disk for programs run by `command`, and an empty folder for all others."""

    def __init__(self, folder: Path, size: str = "3m") -> None:
        folder.mkdir()
        self._folder = folder
        # A user namespace grants the right to mount to other users than root.
        user_namespace = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.command = ["unshare", *user_namespace, "--mount", "sh", "-c", _MOUNT, "sh", size, str(folder)]

    @property
    def allowed(self) -> bool:
        """Whether this machine allows the mount."""
        try:
            return subprocess.run([*self.command, "true"], capture_output=True, timeout=10, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def read_sqlite(self, pid: int, path: str, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on a SQLite database on the disk of process `pid`.

        Runs in the mount namespace of the process, because SQLite opens the database and its log by their paths.
        """
        user_namespace = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(pid), *user_namespace, "--mount"]
        command = [*enter, sys.executable, "-c", _QUERY_SQLITE, path, statement]
        rows = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=20).stdout)
        return [tuple(row) for row in rows]

    def fill(self, pid: int) -> None:
        """Fill the disk of process `pid` completely."""
        with self._ballast(pid).open("ab", buffering=0) as ballast:
            for size in (64 * 1024, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        ballast.write(b"\1" * size)

    def make_room(self, pid: int) -> None:
        """Free the space that `fill` took."""
        self._ballast(pid).unlink()

    def _ballast(self, pid: int) -> Path:
        """Return the path to a file on the disk that is valid outside the mount namespace."""
        return Path(f"/proc/{pid}/root") / self._folder.relative_to("/") / "ballast"
