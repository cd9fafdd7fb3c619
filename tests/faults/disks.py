"""A small disk of its own for one process: a tmpfs in a mount namespace, which ends with the process."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_MOUNT = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'

_ASK = """
import json, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10)
print(json.dumps(database.execute(sys.argv[2]).fetchall()))
"""


class SmallDisk:
    """A folder that is a small disk for whoever is run by `command`, and an ordinary empty one for all others."""

    def __init__(self, folder: Path, size: str = "3m") -> None:
        folder.mkdir()
        self._folder = folder
        # Without the right to mount, a user namespace gives it for a world of one's own.
        own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.command = ["unshare", *own_user, "--mount", "sh", "-c", _MOUNT, "sh", size, str(folder)]

    @property
    def allowed(self) -> bool:
        """Tell whether this machine lets us mount."""
        try:
            return subprocess.run([*self.command, "true"], capture_output=True, timeout=10, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def read_sqlite(self, pid: int, path: str, statement: str) -> list[tuple[Any, ...]]:
        """Ask a SQLite database on it. SQLite goes by the names of files, so it has to be asked from within."""
        own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(pid), *own_user, "--mount", sys.executable, "-c", _ASK, path, statement]
        rows = json.loads(subprocess.run(enter, capture_output=True, check=True, timeout=20).stdout)
        return [tuple(row) for row in rows]

    def fill(self, pid: int) -> None:
        """Take all the room there is."""
        with self._ballast(pid).open("ab", buffering=0) as ballast:
            for size in (64 * 1024, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        ballast.write(b"\1" * size)

    def make_room(self, pid: int) -> None:
        """Give it back."""
        self._ballast(pid).unlink()

    def _ballast(self, pid: int) -> Path:
        """Give the way to a file on it for those outside."""
        return Path(f"/proc/{pid}/root") / self._folder.relative_to("/") / "ballast"
