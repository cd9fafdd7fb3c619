"""Settings are read from the process's environment and working directory: each test gets its own of both."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, load_settings

PRIVATE_KEY = "k7-Zq9-the-private-key"
NEEDED = {
    "CHASER__CLIENT_ID": "4711",
    "CHASER__PRIVATE_KEY": PRIVATE_KEY,
    "SITES__SHOP__SITE_ID": "12345",
    "SITES__SHOP__ORIGINS": "https://shop.example",
}


def load(environ: Mapping[str, str]) -> Settings:
    """Load the settings of a process that has this environment and no other."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        return load_settings()


def faults(environ: Mapping[str, str]) -> list[str]:
    """Load settings that can't be used and give the lines that say why."""
    with pytest.raises(SettingsError) as found:
        load(environ)
    return found.value.lines


@pytest.fixture(scope="module", autouse=True)
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in an empty folder, where no callback.toml of a developer lies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("nowhere"))
        yield


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Write a settings file; gives the environment that names it."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "callback.toml"
        path.write_text(text, encoding="utf-8")
        return {"CONFIG_FILE": str(path)}

    return write
