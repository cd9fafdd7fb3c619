"""What this service is to reach, and whether it does, by the results of one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.peers.running import HTTPX, NODE
from benchmarks.results import STATES, Results

_WORSE = 0.10


@dataclass(frozen=True, slots=True)
class Target:
    """One target: its words, what was measured, and whether that is enough."""

    text: str
    measured: str
    met: bool

    @property
    def verdict(self) -> str:
        """Say it in a word."""
        return "reached" if self.met else "**missed**"


def targets(results: Results) -> Iterator[Target]:
    """Give all targets. Of SQLite and PostgreSQL the first is judged, which is the default."""
    kind = next(iter(results.ours))[0]
    kept = {state: results.ours[kind, state] for state in STATES}
    empty = kept["empty"]
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
    worst, what = max(_worse(results, kind))
    yield Target(
        f"nothing worse by more than 10 % with {results.stored:,} stored", f"{worst:+.0%}, {what}", worst <= _WORSE
    )
    if empty.accept_to_received is not None:
        p99 = empty.accept_to_received.p99
        yield Target("accept to received when idle: p99 under 25 ms", f"{p99:.1f} ms", p99 < 25)
    memory = max(one.memory for one in kept.values())
    yield Target("memory under 120 MB", f"{memory:.0f} MB", memory < 120)
    starts = [one.first_202.p50 for one in kept.values() if one.first_202 is not None]
    yield Target("first 202 within 2 s of the start", f"{max(starts):,.0f} ms", max(starts) <= 2000)


def _share(text: str, share: float, least: float) -> Target:
    return Target(text, f"{share:.0%}", share >= least)


def _worse(results: Results, kind: str) -> Iterator[tuple[float, str]]:
    """Give by what part each figure is worse with what is stored, below zero where it is better."""
    before, after = results.ours[kind, "empty"], results.ours[kind, "stored"]
    for delay in before.loads:
        yield 1 - after.loads[delay].rate / before.loads[delay].rate, f"202 per second at {delay} ms"
    for title, refusals in (("429 per second", results.flood), ("403 per second", results.foreign)):
        yield 1 - refusals["stored"].rate / refusals["empty"].rate, title
    if before.accept_to_received is not None and after.accept_to_received is not None:
        yield after.accept_to_received.p50 / before.accept_to_received.p50 - 1, "accept to received"
    if before.first_202 is not None and after.first_202 is not None:
        yield after.first_202.p50 / before.first_202.p50 - 1, "start to first 202"
    yield after.memory / before.memory - 1, "memory"
