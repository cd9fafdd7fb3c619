"""A real nginx for tests, as any user, with all its files in a folder of the test.

with nginx(tmp_path, f"server {{ listen 127.0.0.1:{port}; {location} }}"):
    ...
"""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.running import until

_TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextlib.contextmanager
def nginx(folder: Path, servers: str, ports: Sequence[int]) -> Iterator[Path]:
    """Run nginx with some server blocks, and yield the path of its error log once it listens on all the ports."""
    # Debian installs it in /usr/sbin, which is not in every user's PATH.
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    assert program, "nginx is not installed: `make test` installs it"
    log = folder / "error.log"
    temp_paths = "\n".join(f"    {name}_temp_path {folder}/{name};" for name in _TEMP_PATHS)
    (folder / "nginx.conf").write_text(
        # One process in the foreground, so that it ends with the test and runs as the user of the test.
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {log};\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\n    access_log off;\n{temp_paths}\n{servers}\n}}\n",
        encoding="utf-8",
    )
    running = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(log)])
    try:
        until(lambda: running.poll() is not None or all(map(_listens, ports)))
        assert running.poll() is None, log.read_text(encoding="utf-8")
        yield log
    finally:
        running.terminate()
        running.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
