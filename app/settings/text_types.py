"""Types of settings: texts, credentials and secrets. Placeholders of an example file are refused. Pure.

Each parser raises ValueError with the fix, and never with the value.
"""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

# Placeholders in any value. Free text may begin with "Your" or contain an ellipsis, so these are few.
_PLACEHOLDER = re.compile(r"(change|replace)[-_ ]?(me|it|this)|<.*>|todo|tbd", re.IGNORECASE)
# Placeholders in a credential, which is never a word.
_CREDENTIAL_PLACEHOLDER = re.compile(
    r"(your|my|put|insert|enter)[-_ ].*|x{3,}|\.{3,}|…|dummy|placeholder|example|secret|password"
    r"|private[-_ ]?key|client[-_ ]?id|secret[-_ ]?key|(ваш|укажите|вставьте|замените).*",
    re.IGNORECASE,
)
_MIN_SECRET = 32


def refuse_placeholder(value: str) -> None:
    """Raise ValueError for a placeholder of an example file."""
    if _PLACEHOLDER.fullmatch(value.strip()):
        raise ValueError("still a placeholder: put in the real value")


def text_line(max_length: int) -> BeforeValidator:
    """Return the validator of one line of text with 1 to `max_length` characters."""
    return BeforeValidator(partial(parse_text, max_length))


def parse_text(max_length: int, value: Any) -> str:
    """Validate one line of text with 1 to `max_length` characters, and strip it. An integer counts as text."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError("write text, in the file between quotes")  # noqa: TRY004  # see hours_syntax.py
    written = str(value).strip()
    refuse_placeholder(written)
    if not written or len(written) > max_length:
        raise ValueError(f"write text of 1 to {max_length} characters")
    if re.search(r"[\ud800-\udfff]", written):
        raise ValueError("not in UTF-8: write it again in a UTF-8 terminal or editor")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", written):
        raise ValueError("write one line, without control characters")
    return written


def credential(value: Any) -> str:
    """Validate a credential that was issued to the operator: an id or a key of at most 1,024 characters."""
    parsed = parse_text(1024, value)
    if _CREDENTIAL_PLACEHOLDER.fullmatch(parsed):
        raise ValueError("still a placeholder: put in the real value")
    return parsed


def secret(value: Any) -> SecretStr:
    """Validate a credential that must not be shown in logs and errors."""
    return SecretStr(credential(value.get_secret_value() if isinstance(value, SecretStr) else value))


def strong_secret(value: Any) -> SecretStr:
    """Validate a secret that the operator makes, of at least 32 characters."""
    parsed = secret(value)
    if len(parsed.get_secret_value()) < _MIN_SECRET:
        raise ValueError(f"write at least {_MIN_SECRET} random characters, as `openssl rand -hex 32` prints them")
    return parsed


ClientId = Annotated[str, BeforeValidator(credential)]
Secret = Annotated[SecretStr, BeforeValidator(secret)]
StrongSecret = Annotated[SecretStr, BeforeValidator(strong_secret)]
