"""A service, and somebody at a terminal with its settings."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import Chaser, Service, chaser, process, service, settings, values

_BOLD = re.compile(r"\x1b\[[012]m")  # NO_COLOR forbids colours, and nothing else
ROOT = Path(__file__).parent.parent.parent


class Terminal:
    """Somebody at a terminal with the service's settings."""

    def __init__(self, chosen: dict[str, Any], url: str = "http://127.0.0.1:1") -> None:
        self.environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        for name, value in chosen.items():
            self.environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
        self.environment["CHASER_CALLBACK_URL"] = url

    def run(
        self, *words: str, before: Callable[[], None] | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command behind a pipe. `before` is done in its process first."""
        command = [sys.executable, "-m", "app.cli.entrypoint", *words]
        env = self.environment | environment
        return subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=before,
        )

    def see(self, *words: str, columns: int = 80, typed: str = "", **environment: str) -> tuple[int, str]:
        """Run it at a terminal of so many columns without colours; gives its exit code and what was shown."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        command = [sys.executable, "-m", "app.cli.entrypoint", *words]
        env = self.environment | {"TERM": "xterm", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"} | environment
        running = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # how Linux tells that nobody writes there any more
            pass
        finally:
            os.close(ours)
        return running.wait(60), _BOLD.sub("", seen.decode().replace("\r\n", "\n"))


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return values(tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]) -> Iterator[Service]:
    """A service whose Chaser can't be reached."""
    with process(tmp_path_factory.mktemp("log"), chosen) as running:
        yield running


@pytest.fixture
def terminal(chosen: dict[str, Any], here: Service) -> Terminal:
    return Terminal(chosen, here.url)


@pytest.fixture(scope="module")
def far_side() -> Iterator[Chaser]:
    with chaser() as running:
        yield running


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Terminal]:
    """At a terminal beside a service that reaches its Chaser."""
    folder = tmp_path_factory.mktemp("connected")
    with service(settings(folder, far_side.api_url)) as running:
        yield Terminal(values(folder, far_side.api_url), running.url)
