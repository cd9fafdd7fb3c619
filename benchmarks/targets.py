"""The performance targets of the service, compared with the results of one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.peers.running import HTTPX, NODE
from benchmarks.results import STATES, Results

_MAX_DEGRADATION = 0.10


@dataclass(frozen=True, slots=True)
class Target:
    """One target: its text, the measured value as text, and whether it is met."""

    text: str
    measured: str
    met: bool

    @property
    def verdict(self) -> str:
        """The cell of the table: `reached` or `missed`."""
        return "reached" if self.met else "**missed**"


def targets(results: Results) -> Iterator[Target]:
    """Yield all targets, compared with the results on the first kind of database, which is SQLite, the default."""
    kind = next(iter(results.service))[0]
    measured = {state: results.service[kind, state] for state in STATES}
    empty = measured["empty"]
    load = empty.loads[300]
    for name, words, least in ((HTTPX, "the tutorial's proxy", 25), (NODE, "Node", 9)):
        times = load.rate / results.peers[name, 300].rate
        yield Target(f"at least {least} x {words} when Chaser takes 300 ms", f"{times:.1f} x", times >= least)
    yield Target("p50 of the 202 at most 15 ms", f"{load.p50:.1f} ms", load.p50 <= 15)
    if results.bare is not None:
        bare = results.bare.rate
        yield _share("at least 25 % of FastAPI that only answers 202", load.rate / bare, 0.25)
        if results.browser is not None:
            yield _share("the same with a challenge", results.browser.rate / bare, 0.25)
        for title, refusals in (("429", results.flood), ("403", results.foreign)):
            yield _share(f"refusals with {title}: at least 50 % of it", refusals["empty"].rate / bare, 0.5)
    worst, figure = max(_degradations(results, kind))
    yield Target(
        f"nothing worse by more than 10 % with {results.stored:,} stored",
        f"{worst:+.0%}, {figure}",
        worst <= _MAX_DEGRADATION,
    )
    if empty.accept_to_received is not None:
        p99 = empty.accept_to_received.p99
        yield Target("accept to received when idle: p99 under 25 ms", f"{p99:.1f} ms", p99 < 25)
    memory = max(of_state.memory for of_state in measured.values())
    yield Target("memory under 120 MB", f"{memory:.0f} MB", memory < 120)
    starts = [of_state.first_202.p50 for of_state in measured.values() if of_state.first_202 is not None]
    yield Target("first 202 within 2 s of the start", f"{max(starts):,.0f} ms", max(starts) <= 2000)


def _share(text: str, share: float, least: float) -> Target:
    return Target(text, f"{share:.0%}", share >= least)


def _degradations(results: Results, kind: str) -> Iterator[tuple[float, str]]:
    """Yield by which fraction each figure is worse with a filled database (negative: better), and its name."""
    before, after = results.service[kind, "empty"], results.service[kind, "stored"]
    for delay in before.loads:
        yield 1 - after.loads[delay].rate / before.loads[delay].rate, f"202 per second at {delay} ms"
    for title, refusals in (("429 per second", results.flood), ("403 per second", results.foreign)):
        yield 1 - refusals["stored"].rate / refusals["empty"].rate, title
    if before.accept_to_received is not None and after.accept_to_received is not None:
        yield after.accept_to_received.p50 / before.accept_to_received.p50 - 1, "accept to received"
    if before.first_202 is not None and after.first_202 is not None:
        yield after.first_202.p50 / before.first_202.p50 - 1, "start to first 202"
    yield after.memory / before.memory - 1, "memory"
