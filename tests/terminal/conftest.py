"""A service, and somebody at a terminal with its settings."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import Service, process, values

ROOT = Path(__file__).parent.parent.parent


class Terminal:
    """Somebody at a terminal with the service's settings."""

    def __init__(self, chosen: dict[str, Any], url: str) -> None:
        self.environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        for name, value in chosen.items():
            self.environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
        self.environment["CHASER_CALLBACK_URL"] = url

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "app.cli", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return values(tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]) -> Iterator[Service]:
    with process(tmp_path_factory.mktemp("log"), chosen) as running:
        yield running


@pytest.fixture
def terminal(chosen: dict[str, Any], here: Service) -> Terminal:
    return Terminal(chosen, here.url)
