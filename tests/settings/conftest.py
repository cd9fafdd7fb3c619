"""Fixtures for settings, which are read from the environment and the working directory of the process."""

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
    """Load the settings of a process with exactly this environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        return load_settings()


def errors(environ: Mapping[str, str]) -> list[str]:
    """Load invalid settings, and return the error lines."""
    with pytest.raises(SettingsError) as raised:
        load(environ)
    return raised.value.lines


@pytest.fixture(scope="module", autouse=True)
def _empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Change to an empty folder. Otherwise a developer's callback.toml would be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        yield


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return a function that writes a settings file and returns the environment with its path."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "callback.toml"
        path.write_text(text, encoding="utf-8")
        return {"CONFIG_FILE": str(path)}

    return write
