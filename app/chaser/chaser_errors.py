"""Errors of requests to Chaser, by their meaning for the caller.

* ChaserError
  x InvalidParameter   a parameter is out of its range; nothing was sent (also a ValueError)
  x NotSent            no parameter has left this machine: safe to retry
  x Unavailable        429, or 503 with Retry-After: not executed, retry later
  x Unauthorized       401: the signature or the account is wrong
  x Forbidden          403: the account may not do this
  x NotFound           404: no such object
  x Rejected           every other 4xx: the same request will always fail
  x OutcomeUnknown     sent, and may have been executed; the response is lost or proves nothing
    + UnreadableAnswer 200 to `websites` or `statistics`, but the response cannot be parsed

Only after `NotSent` and `Unavailable` can a call be retried without the risk of a second telephone call. No message
and no `repr` of these errors contains a parameter's value, a signature or anything that the server sent. Only
`body_excerpt` does: show it to operators only.
"""


class ChaserError(Exception):
    """Base class of all errors of this client.

    `status`: the HTTP status, None without a response. `body_excerpt`: the start of the response's body, at most 2 KiB
    before decoding. `retry_after`: the Retry-After header in seconds, at least 0, without an upper limit, or None.
    `duration`: how long the request took, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body_excerpt: str = "",
        retry_after: float | None = None,
        duration: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body_excerpt = body_excerpt
        self.retry_after = retry_after
        self.duration = duration


class InvalidParameter(ChaserError, ValueError):
    """A parameter is out of its range. `parameter`: its name; `rule`: the range. The value is in neither."""

    def __init__(self, parameter: str, rule: str) -> None:
        super().__init__(f"{parameter}: {rule}")
        self.parameter = parameter
        self.rule = rule


class NotSent(ChaserError):
    """No parameter has left this machine: DNS, the connection or TLS failed, or the deadline passed before them."""


class Unavailable(ChaserError):
    """Chaser is overloaded (429, or 503 with Retry-After). The request was not executed."""


class Unauthorized(ChaserError):
    """401: the account is wrong, or Chaser signs this request differently. A `websites` request shows which."""


class Forbidden(ChaserError):
    """403: the account may not do this."""


class NotFound(ChaserError):
    """404: no such object, for example a site_id that this account does not have."""


class Rejected(ChaserError):
    """Any other 4xx: Chaser read the request and will never execute it."""


class OutcomeUnknown(ChaserError):
    """The request was sent, and nothing proves whether it was executed.

    Raised for a lost response, a timeout, a redirect, a 5xx, and a 2xx other than 200. Repeating a `call` after this
    may phone the visitor twice.
    """


class UnreadableAnswer(OutcomeUnknown):
    """`websites` or `statistics` returned 200 with a body that is truncated, too large or not as documented."""
