"""The operator's key: whoever has the settings may do everything at the terminal, without a key of his own.

It is derived from the secret of the service, so the command and the service find the same one, and nobody else does.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, get_args

from app.settings import ApiKey, Scope

OPERATOR: Final = "(terminal)"
"""The name the key has in the log. No key in the settings can have it."""


def operator_key(secret: bytes) -> str:
    """Give the key to send."""
    return f"ccb_{hmac.new(secret, b'the operator at the terminal', hashlib.sha256).hexdigest()}"


def with_operator(keys: Mapping[str, ApiKey], secret: bytes) -> dict[str, ApiKey]:
    """Give the keys of the settings, and the operator's."""
    digest = hashlib.sha256(operator_key(secret).encode()).hexdigest()
    return {**keys, OPERATOR: ApiKey(sha256=digest, scopes=get_args(Scope))}
