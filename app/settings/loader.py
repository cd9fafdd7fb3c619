"""Where settings come from: the environment and the files it names, then the TOML file that CONFIG_FILE names."""

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
from app.settings.settings_errors import SettingsError, fault_lines

DEFAULT_FILE = Path("callback.toml")


class _Sources(Settings, BaseSettings):
    """Settings together with where they are read from: what is passed in, over what the file says."""

    model_config = SettingsConfigDict(case_sensitive=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the names are pydantic-settings'
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Its own reader of the environment drops one of two contradicting variables without a word.
        return init_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file(os.environ))


def load_settings() -> Settings:
    """Read all settings from the environment and the file.

    Raises SettingsError with every fault that was found.
    """
    environ, unread = read_secret_files(os.environ)
    environment = read_environment(environ)
    environment.meant.update(unread)
    faults = [*unread.values(), *(f"{name}: {message}" for name, message in environment.faults.items())]
    file = _file(os.environ)
    try:
        if file is not None and not file.is_file():
            raise SettingsError([*faults, f"{CONFIG_FILE}: there is no file {file}: correct the path or unset it"])
        settings = _Sources(**environment.table)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{CONFIG_FILE}: {file} is no TOML: {error}: correct that place")
    except UnicodeDecodeError:
        faults.append(f"{CONFIG_FILE}: {file} is not in UTF-8: save it as UTF-8")
    except RecursionError:
        faults.append(f"{CONFIG_FILE}: {file} is nested too deeply: write tables as [sites.shop]")
    except OSError as error:
        faults.append(f"{CONFIG_FILE}: {file} can't be read ({error.strerror}): correct the path or the file's rights")
    except ValidationError as error:
        faults += fault_lines(error, environment, file)
    if faults:
        raise SettingsError(faults)
    return settings


def _file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(CONFIG_FILE, "").strip()
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
