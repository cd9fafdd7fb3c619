"""A real nginx for tests, as any user, with all its files in a folder of the test.

with nginx(tmp_path, f"server {{ listen 127.0.0.1:{port}; {location} }}"):
    ...
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.running import until

SHIPPED = (Path(__file__).parents[2] / "deploy" / "nginx.conf").read_text(encoding="utf-8")
_TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextlib.contextmanager
def nginx(folder: Path, servers: str, ports: Sequence[int]) -> Iterator[Path]:
    """Run nginx with some server blocks, and yield the path of its error log once it listens on all the ports."""
    config = f"events {{ worker_connections 4096; }}\nhttp {{\n    access_log off;\n{servers}\n}}\n"
    with _running(folder, config, ports) as log:
        yield log


@contextlib.contextmanager
def shipped_nginx(folder: Path, port: int, replicas: Sequence[int]) -> Iterator[Path]:
    """Run nginx with deploy/nginx.conf, except for the ports, as `nginx` does. `replicas`: three ports."""
    config = re.sub(r"callback-(\d):8000", lambda match: f"127.0.0.1:{replicas[int(match[1]) - 1]}", SHIPPED)
    with _running(folder, config.replace("listen 8080;", f"listen 127.0.0.1:{port};"), [port]) as log:
        yield log


@contextlib.contextmanager
def _running(folder: Path, config: str, ports: Sequence[int]) -> Iterator[Path]:
    # Debian installs it in /usr/sbin, which is not in every user's PATH.
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    assert program, "nginx is not installed: `make test` installs it"
    log, file = folder / "error.log", folder / "nginx.conf"
    temp_paths = "".join(f"\n    {name}_temp_path {folder}/{name};" for name in _TEMP_PATHS)
    file.write_text(config.replace("\nhttp {", f"\nhttp {{{temp_paths}", 1), encoding="utf-8")
    # One process in the foreground, so that it ends with the test and runs as the user of the test.
    directives = f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {log};"
    running = subprocess.Popen([program, "-p", str(folder), "-c", str(file), "-e", str(log), "-g", directives])
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
