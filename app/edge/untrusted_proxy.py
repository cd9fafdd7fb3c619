"""Notice a proxy in front of the service that TRUSTED_PROXIES does not name."""

from app.net.client_address import NO_ADDRESS, Address, parse_address


class UntrustedProxyDetector:
    """Detect, in the first requests, that all visitors share the address of a proxy that is not trusted.

    Use it only while `TRUSTED_PROXIES` is empty. The first `sample` requests decide; later calls cost nothing.
    """

    def __init__(self, sample: int = 50) -> None:
        self._left = sample
        self._peer: Address | None = None

    def observe(self, peer: str | None, forwarded: bool) -> bool:
        """Count one request: its peer, and whether it had X-Forwarded-For. Return True once, when to warn.

        That is when every request of the sample had the header and came from one private or loopback address,
        or from a Unix socket.
        """
        if self._left == 0:
            return False
        address = NO_ADDRESS if peer is None else parse_address(peer) or NO_ADDRESS
        self._peer = self._peer or address
        if not forwarded or address.is_global or address != self._peer:
            self._left = 0
            return False
        self._left -= 1
        return self._left == 0
