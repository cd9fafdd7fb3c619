"""Behind an untrusted proxy all visitors share one address: the service detects it and warns once."""

import pytest

from app.edge.untrusted_proxy import UntrustedProxyDetector


@pytest.mark.parametrize("peer", ["10.0.0.1", "127.0.0.1", "100.64.0.1", "fd00::1", "::ffff:172.17.0.1", None])
def test_the_warning_comes_once_when_all_requests_come_forwarded_from_one_private_address(peer: str | None) -> None:
    detector = UntrustedProxyDetector(sample=3)
    assert [detector.observe(peer, forwarded=True) for _ in range(6)] == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    "second",
    [("10.0.0.2", True), ("10.0.0.1", False), ("8.8.8.8", True), (None, True)],
    ids=["another proxy", "no header", "a public address", "no address"],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_other_request_among_the_first_silences_the_warning(second: tuple[str | None, bool], at: int) -> None:
    detector = UntrustedProxyDetector(sample=3)
    requests: list[tuple[str | None, bool]] = [("10.0.0.1", True)] * 8
    requests[at] = second
    assert not any(detector.observe(peer, forwarded) for peer, forwarded in requests)


def test_the_warning_never_comes_for_visitors_with_public_addresses() -> None:
    detector = UntrustedProxyDetector(sample=3)
    assert not any(detector.observe("8.8.8.8", forwarded=True) for _ in range(10))
