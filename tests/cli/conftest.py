"""A service, and a terminal with its settings: the fixtures of the command-line tests."""

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

_BOLD = re.compile(r"\x1b\[[012]m")  # NO_COLOR switches colours off, but not bold
ROOT = Path(__file__).parent.parent.parent


class Terminal:
    """Runs commands with the service's settings, behind a pipe or at a pseudo-terminal."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        for name, value in settings.items():
            self.environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)

    def run(
        self, *words: str, before: Callable[[], None] | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command behind a pipe and return the completed process. `before` runs in the child before exec."""
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

    def run_at_terminal(self, *words: str, columns: int = 80, typed: str = "", **environment: str) -> tuple[int, str]:
        """Run a command at a terminal without colours, and return its exit code and its output.

        `columns`: width in characters; `typed`: text sent to standard input.
        """
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        command = [sys.executable, "-m", "app.cli.entrypoint", *words]
        env = self.environment | {"TERM": "xterm", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"} | environment
        running = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
        )
        os.close(terminal)
        os.write(controller, typed.encode())
        output = b""
        try:
            while chunk := os.read(controller, 65536):
                output += chunk
        except OSError:  # EIO: on Linux, the last process has closed the terminal
            pass
        finally:
            os.close(controller)
        return running.wait(60), _BOLD.sub("", output.decode().replace("\r\n", "\n"))


@pytest.fixture(scope="module")
def service_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return values(tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, service_settings: dict[str, Any]) -> Iterator[Service]:
    """A service that can't reach its Chaser."""
    with process(tmp_path_factory.mktemp("log"), service_settings) as running:
        yield running


@pytest.fixture
def terminal(service_settings: dict[str, Any], here: Service) -> Terminal:
    return Terminal(service_settings)


@pytest.fixture(scope="module")
def far_side() -> Iterator[Chaser]:
    with chaser() as running:
        yield running


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Terminal]:
    """A terminal, and a service that reaches its Chaser."""
    folder = tmp_path_factory.mktemp("connected")
    with service(settings(folder, far_side.api_url)):
        yield Terminal(values(folder, far_side.api_url))
