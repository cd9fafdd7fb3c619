"""Loads the settings from the environment, the files it names, and the TOML file in CONFIG_FILE."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.settings.environment import CONFIG_FILE, read_environment
from app.settings.model import Settings
from app.settings.secret_files import read_secret_files
from app.settings.settings_errors import SettingsError, error_lines

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
        return init_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file(os.environ))


def load_settings() -> Settings:
    """Load and validate all settings.

    Raises SettingsError with a line for each error.
    """
    environ, file_errors = read_secret_files(os.environ)
    environment = read_environment(environ)
    environment.suggested.update(file_errors)  # reported by their files: not missing as well
    lines = [*file_errors.values(), *(f"{name}: {message}" for name, message in environment.errors.items())]
    file = _file(os.environ)
    try:
        if file is not None and not file.is_file():
            raise SettingsError([*lines, f"{CONFIG_FILE}: there is no file {file}: correct the path or unset it"])
        settings = _Sources(**environment.table)
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


def _file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(CONFIG_FILE, "").strip()
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
