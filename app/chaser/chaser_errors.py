"""What can go wrong with a request to Chaser, by what it means for the caller.

* ChaserError
  x InvalidParameter   a parameter is out of its range; nothing was sent (also a ValueError)
  x NotSent            no parameter has left this machine: it can be sent again freely
  x Unavailable        429, or 503 with Retry-After: not executed, come back later
  x Unauthorized       401: the signature or the account is wrong
  x Forbidden          403: the account may not do this
  x NotFound           404: no such object
  x Rejected           every other 4xx: the request will never do as it is
  x OutcomeUnknown     it was sent and may have been executed; the answer is lost or proves nothing
    + UnreadableAnswer 200 to a question, but the answer cannot be read

Only `NotSent` and `Unavailable` may be repeated without the risk of a second telephone call. No message and no
`repr` of these errors holds a parameter's value, a signature or anything the far side sent; `body_excerpt` does hold
what it sent, so show it to people who may see it and to nobody else.
"""


class ChaserError(Exception):
    """The base of everything this client raises on purpose.

    `status` is the HTTP status, None where no answer came. `body_excerpt` is the start of the answer's body, at most
    2 KiB before decoding. `retry_after` is the wait the far side asked for in seconds, never negative, not clamped
    from above, None where it asked for none. `duration` is how long the request took in seconds.
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
    """A parameter is out of its range. `parameter` is its name and `rule` what it must be; never the value."""

    def __init__(self, parameter: str, rule: str) -> None:
        super().__init__(f"{parameter}: {rule}")
        self.parameter = parameter
        self.rule = rule


class NotSent(ChaserError):
    """No parameter has left this machine: no connection, no name, no TLS, or no time left for them."""


class Unavailable(ChaserError):
    """Chaser is busy and says so (429, or 503 with Retry-After). The request was not executed."""


class Unauthorized(ChaserError):
    """401: the account is wrong, or this request is signed otherwise than Chaser does. `websites` tells which."""


class Forbidden(ChaserError):
    """403: the account may not do this."""


class NotFound(ChaserError):
    """404: no such object, say a site_id that this account does not have."""


class Rejected(ChaserError):
    """Any other 4xx: Chaser read the request and will not do it, now or later."""


class OutcomeUnknown(ChaserError):
    """The request was sent, and nothing proves that it was or was not executed.

    A lost answer, a hang, a redirect, a 5xx, or a 2xx other than 200. Repeating a `call` after this may phone a
    person twice.
    """


class UnreadableAnswer(OutcomeUnknown):
    """`websites` or `statistics` answered 200, but with a body that is cut, too large or not what is documented."""
