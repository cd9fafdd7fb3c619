"""`NAME_FILE` instead of `NAME`: settings in files, such as the secrets of containers."""

from collections.abc import Mapping
from pathlib import Path

from app.settings.environment import CONFIG_FILE
from app.settings.suggestions import did_you_mean, is_setting

_SUFFIX = "_FILE"


def read_secret_files(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
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
