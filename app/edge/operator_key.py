"""The operator's key, with which the CLI may do everything that an API key can.

It is derived from the service's secret. So the CLI and the service compute the same key from the same settings, and an
operator needs no API key in them.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, get_args

from app.settings import ApiKey, Scope

OPERATOR: Final = "(terminal)"
"""The key's name in the log. No key in the settings can have this name."""


def operator_key(secret: bytes) -> str:
    """Return the key in plain text, as the CLI sends it."""
    return f"ccb_{hmac.new(secret, b'the operator at the terminal', hashlib.sha256).hexdigest()}"


def with_operator(keys: Mapping[str, ApiKey], secret: bytes) -> dict[str, ApiKey]:
    """Return the keys of the settings and the operator's, which has every scope and is bound to no site."""
    digest = hashlib.sha256(operator_key(secret).encode()).hexdigest()
    return {**keys, OPERATOR: ApiKey(sha256=digest, scopes=get_args(Scope))}
