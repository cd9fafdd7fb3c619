"""How texts and secrets are written in settings, and what is left over from an example file. Pure.

Each reader raises ValueError with the cure, and never with the value.
"""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

# In any value. Free text may begin with "Your" or hold an ellipsis, so this names only what nobody means.
_PLACEHOLDER = re.compile(r"(change|replace)[-_ ]?(me|it|this)|<.*>|todo|tbd", re.IGNORECASE)
# In a credential, which is no word of any language.
_NO_CREDENTIAL = re.compile(
    r"(your|my|put|insert|enter)[-_ ].*|x{3,}|\.{3,}|…|dummy|placeholder|example|secret|password"
    r"|private[-_ ]?key|client[-_ ]?id|secret[-_ ]?key|(ваш|укажите|вставьте|замените).*",
    re.IGNORECASE,
)
_SECRET_LENGTH = 32


def refuse_placeholder(value: str) -> None:
    """Raise ValueError for what was left over from an example file."""
    if _PLACEHOLDER.fullmatch(value.strip()):
        raise ValueError("still a placeholder: put in the real value")


def text_line(longest: int) -> BeforeValidator:
    """Make the reader of one line of text, with at most so many characters; a number counts as text."""
    return BeforeValidator(partial(parse_text, longest))


def parse_text(longest: int, value: Any) -> str:
    """Read one line of text of 1 to ``longest`` characters."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError("write text, in the file between quotes")  # noqa: TRY004  # only ValueError is a fault
    written = str(value).strip()
    refuse_placeholder(written)
    if not written or len(written) > longest:
        raise ValueError(f"write text of 1 to {longest} characters")
    if re.search(r"[\ud800-\udfff]", written):
        raise ValueError("not in UTF-8: write it anew in a UTF-8 terminal or editor")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", written):
        raise ValueError("write one line, without control characters")
    return written


def credential(value: Any) -> str:
    """Read what somebody gave out to be typed in: an id or a key."""
    read = parse_text(1024, value)
    if _NO_CREDENTIAL.fullmatch(read):
        raise ValueError("still a placeholder: put in the real value")
    return read


def secret(value: Any) -> SecretStr:
    """Read a credential that must not be shown."""
    return SecretStr(credential(value.get_secret_value() if isinstance(value, SecretStr) else value))


def strong_secret(value: Any) -> SecretStr:
    """Read a secret nobody gave out, so that its length is for us to ask for."""
    read = secret(value)
    if len(read.get_secret_value()) < _SECRET_LENGTH:
        raise ValueError(f"write at least {_SECRET_LENGTH} random characters, as `openssl rand -hex 32` prints them")
    return read


ClientId = Annotated[str, BeforeValidator(credential)]
Secret = Annotated[SecretStr, BeforeValidator(secret)]
StrongSecret = Annotated[SecretStr, BeforeValidator(strong_secret)]
