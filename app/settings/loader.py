"""Loads the settings from the environment, the files it names, and the TOML file in CONFIG_FILE."""

import os
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.settings.environment import CONFIG_FILE, read_environment
from app.settings.model import Settings
from app.settings.secret_files import read_secret_files
from app.settings.setting_types import integer
from app.settings.settings_base import Name
from app.settings.settings_errors import SettingsError, error_lines
from app.settings.site_settings import Site

DEFAULT_FILE = Path("callback.toml")


class _Sources(Settings, BaseSettings):
    """Settings with their sources: values that are passed in override those of the file."""

    # The defaults are values already, not the notation that is parsed.
    model_config = SettingsConfigDict(case_sensitive=True, validate_default=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the names are pydantic-settings'
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment source of pydantic-settings silently ignores one of two conflicting variables.
        return init_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())


class _DraftSite(Site):
    """A site that the owner has not completed."""

    site_id: Annotated[int, integer(1)] = 0
    origins: tuple[str, ...] = ()


class _Draft(_Sources):
    """Settings of an owner whose sites are not set, or not completely."""

    sites: dict[Name, _DraftSite] = Field(default={})  # type: ignore[assignment]  # a dict is invariant


def load_settings(*, draft: bool = False) -> Settings:
    """Load and validate all settings. With `draft`, sites and their numbers and origins may be missing.

    Raises SettingsError with a line for each error.
    """
    environ, file_errors = read_secret_files(os.environ)
    environment = read_environment(environ)
    environment.suggested.update(file_errors)  # reported by their files: not missing as well
    lines = [*file_errors.values(), *(f"{name}: {message}" for name, message in environment.errors.items())]
    file = config_file()
    try:
        if file is not None and not file.is_file():
            raise SettingsError([*lines, f"{CONFIG_FILE}: there is no file {file}: correct the path or unset it"])
        settings = (_Draft if draft else _Sources)(**environment.table)
    except tomllib.TOMLDecodeError as error:
        lines.append(f"{CONFIG_FILE}: {file} is not valid TOML: {error}: correct it")
    except UnicodeDecodeError:
        lines.append(f"{CONFIG_FILE}: {file} is not in UTF-8: save it as UTF-8")
    except RecursionError:
        lines.append(f"{CONFIG_FILE}: {file} is nested too deeply: write tables as [sites.shop]")
    except OSError as error:
        lines.append(f"{CONFIG_FILE}: {file} can't be read ({error.strerror}): correct the path or the file's rights")
    except ValidationError as error:
        lines += error_lines(error, environment, file)
    if lines:
        raise SettingsError(lines)
    return settings


def command_api_key() -> str:
    """Return the API key with which commands connect to a URL, empty if it is not set."""
    return os.environ.get("CHASER_CALLBACK_API_KEY", "").strip()


def config_file() -> Path | None:
    """Return the path of the TOML file: CONFIG_FILE, else the default if it exists, else None."""
    named = os.environ.get(CONFIG_FILE, "").strip()
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
