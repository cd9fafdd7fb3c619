"""Where settings come from: the environment, then the TOML file that CONFIG_FILE names."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.settings.model import Settings

DEFAULT_FILE = "callback.toml"
# slowapi reads these by itself; one of them would switch our flood limit off behind our back.
_FOREIGN_PREFIX = "RATELIMIT_"


class SettingsFaults(Exception):
    """The settings can't be used; ``lines`` has one line for each fault, naming the setting and the cure."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class _Environment(EnvSettingsSource):
    """The environment; a value that is no JSON stays text, so that validation names the setting and the cure."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _Sources(Settings, BaseSettings):
    """Settings together with the places they are read from."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the names are pydantic-settings'
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return _Environment(settings_cls), TomlConfigSettingsSource(settings_cls, toml_file=_file(os.environ))


def load_settings() -> Settings:
    """Read all settings from the environment and the file.

    Raises SettingsFaults with every fault that was found.
    """
    faults = list(_unknown_names(os.environ))
    try:
        settings = _Sources()
    except tomllib.TOMLDecodeError as error:
        raise SettingsFaults([*faults, f"CONFIG_FILE: {_file(os.environ)} is not TOML: {error}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFaults([*faults, f"CONFIG_FILE: {_file(os.environ)} can't be read: {error}"]) from None
    except ValidationError as error:
        faults += [_line(fault) for fault in error.errors(include_input=False, include_url=False)]
    if faults:
        raise SettingsFaults(faults)
    return settings


def _file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("CONFIG_FILE")
    if named:
        if not Path(named).is_file():
            raise SettingsFaults([f"CONFIG_FILE: there is no file {named}: correct the path or unset CONFIG_FILE"])
        return Path(named)
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    """Find misspelt names that pydantic can't see, because they don't begin like any setting."""
    tops = [name.upper() for name in Settings.model_fields]
    parts = [name.upper() for name, field in Settings.model_fields.items() if not _plain(field.annotation)]
    for name in sorted(environ):
        upper = name.upper()
        top, nested, _ = upper.partition("__")
        if upper in tops or top in parts or upper == "CONFIG_FILE":
            continue
        if upper.startswith(_FOREIGN_PREFIX):
            yield f"{name}: slowapi's own settings are not used here: unset it and use LIMITS__FLOOD"
        elif nested:
            close = difflib.get_close_matches(top, parts, 1, 0.8)
            if close:
                yield f"{name}: unknown name, did you mean {close[0]}__…?"
        else:
            yield from _slips(name, upper, tops, parts, environ)


def _slips(name: str, upper: str, tops: list[str], parts: list[str], environ: Mapping[str, str]) -> Iterator[str]:
    # An underscore too few, as in CHASER_CLIENT_ID; then a letter or two off, as in DATABSE_URL.
    for known in _leaf_names():
        if known.replace("__", "_") == upper:
            yield f"{name}: unknown name, did you mean {known}?"
            return
    if upper.startswith("SITES_"):
        yield f"{name}: unknown name, did you mean SITES__<NAME>__… with two underscores?"
        return
    close = difflib.get_close_matches(upper, [top for top in tops if top not in parts], 1, 0.85)
    if close and close[0] not in environ:
        yield f"{name}: unknown name, did you mean {close[0]}?"


def _leaf_names() -> Iterator[str]:
    for top, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{top}__{name}".upper() for name in kind.model_fields)


def _plain(annotation: Any) -> bool:
    return not (isinstance(annotation, type) and issubclass(annotation, BaseModel)) and "dict" not in str(annotation)


def _line(fault: ErrorDetails) -> str:
    where = [str(step) for step in fault["loc"] if step != "[key]"]
    name = "__".join(step.upper() for step in where)
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return f"{name}: missing: set it"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(where[-1], _known_beside(where), 1, 0.6)
        return f"{name}: unknown name" + (f", did you mean {close[0].upper()}?" if close else ": remove it")
    message = str(context.get("error", fault["msg"]))
    return f"{name}: {message}" if name else message


def _known_beside(where: list[str]) -> list[str]:
    """Give the names allowed where the last step of the path stands."""
    model: Any = Settings
    for step in where[:-1]:
        field = getattr(model, "model_fields", {}).get(step)
        if field is None:
            continue  # the name of a site, key or department: its model is the one found before it
        model = next((part for part in _models(field.annotation)), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
