"""Loads the settings from the environment, the files it names, and the TOML file in CONFIG_FILE.

The environment may have `NAME_FILE` instead of `NAME`: the name of a file, such as the secrets of containers are.
"""

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
from app.settings.settings_errors import SettingsError, error_lines
from app.settings.suggestions import did_you_mean, is_setting

DEFAULT_FILE = Path("callback.toml")
_SUFFIX = "_FILE"


class _Sources(Settings, BaseSettings):
    """Settings with their sources: values that are passed in override those of the file."""

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
        # The environment source of pydantic-settings silently ignores one of two conflicting variables.
        return init_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file(os.environ))


def load_settings() -> Settings:
    """Load and validate all settings.

    Raises SettingsError with a line for each error.
    """
    environ, file_errors = _read_secret_files(os.environ)
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


def _read_secret_files(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Replace each variable `NAME_FILE` by `NAME` with the contents of its file, without surrounding white space.

    This works for every setting that is not a table. Returns the new environment, and an error line for each setting
    with a file that can't be used.
    """
    result = dict(environ)
    errors: dict[str, str] = {}
    direct = {name.upper() for name, value in environ.items() if value.strip()}
    for name, value in environ.items():
        setting = name.upper().removesuffix(_SUFFIX)
        if not name.upper().endswith(_SUFFIX) or name.upper() == CONFIG_FILE:
            continue
        if not is_setting(setting.lower().split("__")):
            if suggestion := did_you_mean(setting):
                errors[suggestion] = f"{name}: unknown name, did you mean {suggestion}{_SUFFIX}?"
                del result[name]
            continue
        del result[name]
        if not value.strip():
            continue
        if setting in direct:
            errors[setting] = f"{name}: set together with {setting}: unset one of them"
            continue
        result[setting], error = _read(Path(value.strip()))
        if error:
            errors[setting] = f"{name}: {error}"
    return result, errors


def _read(path: Path) -> tuple[str, str | None]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        return "", f"{path} can't be read ({error.strerror}): correct the path or the file's rights"
    except UnicodeDecodeError:
        return "", f"{path} is not in UTF-8: save it as UTF-8"
    return text, None if text else f"{path} is empty: write the value into it"
