"""``NAME_FILE`` in place of ``NAME``: settings that stand in files, as containers are handed their secrets."""

from collections.abc import Mapping
from pathlib import Path

from app.settings.environment import CONFIG_FILE
from app.settings.suggestions import did_you_mean, is_setting

_END = "_FILE"


def read_secret_files(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Put in the contents of the files that variables name, without the space around them.

    Works for every plain setting. Gives the environment with the settings in the place of the names of their files,
    and a line for each setting whose file can't be used.
    """
    read = dict(environ)
    faults: dict[str, str] = {}
    own = {name.upper() for name, value in environ.items() if value.strip()}
    for name, value in environ.items():
        setting = name.upper().removesuffix(_END)
        if not name.upper().endswith(_END) or name.upper() == CONFIG_FILE:
            continue
        if not is_setting(setting.lower().split("__")):
            if meant := did_you_mean(setting):
                faults[meant] = f"{name}: unknown name, did you mean {meant}{_END}?"
                del read[name]
            continue
        del read[name]
        if not value.strip():
            continue
        if setting in own:
            faults[setting] = f"{name}: set beside {setting}: unset one of them"
            continue
        read[setting], fault = _text(Path(value.strip()))
        if fault:
            faults[setting] = f"{name}: {fault}"
    return read, faults


def _text(path: Path) -> tuple[str, str | None]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        return "", f"{path} can't be read ({error.strerror}): correct the path or the file's rights"
    except UnicodeDecodeError:
        return "", f"{path} is not in UTF-8: save it as UTF-8"
    return text, None if text else f"{path} is empty: write the value into it"
