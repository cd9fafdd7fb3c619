"""The oracle: joins what was asked, what is stored and what was executed, and says what went wrong. Pure.

Three ledgers that know nothing of each other are joined by a nonce, which travels in the query of `active_page`: the
client's (load.py), the database's, and the simulator's. As in Jepsen, what a client saw of its request is ``ok``
(told 202), ``fail`` (told that it was refused), or ``info``: no answer came, so nobody knows, and both are right.

- lost: told 202, but there is no callback; or an attempt says delivered that was never executed
- excess: more calls than the attempts of that callback that were delivered or unknown: a second call nobody can explain
- phantom: executed or stored, but nobody asked for it, or who asked was told that it was refused
- altered: executed with other parameters than were asked for
- stuck: still on its way when everything has long been well
- duplicated: several callbacks, or several ids told, for one request

These fail a run. Two more are only counted: doubled (second calls, each explained by an unknown outcome) and
unanswered (stored although its client never got an answer).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FAILING = ("lost", "excess", "phantom", "altered", "stuck", "duplicated")
_FINAL = ("placed", "failed", "unknown", "cancelled")


class DatabaseInfo(StrEnum):
    """What a client knows of its request."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one try; status None: none came. ``seconds``: how long it took."""

    status: int | None
    callback_id: str | None = None
    seconds: float = 0.0
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """One request with all its tries. ``asked``: the parameters that Chaser should get."""

    nonce: str
    asked: Mapping[str, str]
    answers: Sequence[Answer]

    @property
    def seen(self) -> DatabaseInfo:
        """A 5xx counts as no answer: it may come from a commit whose own answer was lost."""
        statuses = [answer.status for answer in self.answers]
        if 202 in statuses:
            return DatabaseInfo.OK
        if statuses and all(status is not None and status < 500 for status in statuses):
            return DatabaseInfo.FAIL
        return DatabaseInfo.INFO


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A callback in the database. ``outcomes`` of its attempts in order, None for one without; ``waiting``: due."""

    id: str
    nonce: str | None
    status: str
    waiting: bool
    outcomes: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Executed:
    """A call in the simulator's ledger."""

    nonce: str | None
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the oracle saw."""

    kind: str
    nonce: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the oracle says, and its figures."""

    findings: tuple[Finding, ...]
    requests: int
    accepted: int
    refused: int
    executed: int
    unknown: int
    statuses: Mapping[str, int]

    def count(self, kind: str) -> int:
        """Count the findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not any(finding.kind in FAILING for finding in self.findings)

    def __str__(self) -> str:
        counted = (*FAILING, "doubled", "unanswered")
        return (
            f"requests {self.requests}, accepted {self.accepted}, refused {self.refused}, executed {self.executed}, "
            + ", ".join(f"{kind} {self.count(kind)}" for kind in counted)
            + f", unknown outcomes {self.unknown}; "
            + ", ".join(f"{status} {count}" for status, count in sorted(self.statuses.items()))
        )

    def explain(self, most: int = 20) -> str:
        """Give the figures, and the findings that fail the run."""
        wrong = [finding for finding in self.findings if finding.kind in FAILING][:most]
        return "\n".join([str(self), *(f"{one.kind} {one.nonce}: {one.detail}" for one in wrong)])


def judge(wishes: Sequence[Wish], stored: Iterable[CallbackRecord], executed: Iterable[Executed]) -> Verdict:
    """Join the three ledgers. Call it when everything has been well for long enough to end all that was begun."""
    rows, calls = defaultdict(list), defaultdict(list)
    for row in stored:
        rows[row.nonce].append(row)
    for call in executed:
        calls[call.nonce].append(call)
    known = {wish.nonce for wish in wishes}
    findings: list[Finding] = []
    for wish in wishes:
        findings += _of_one(wish, rows.get(wish.nonce, []), calls.get(wish.nonce, []))
    for nonce in (rows.keys() | calls.keys()) - known:
        detail = f"{len(rows.get(nonce, []))} stored, {len(calls.get(nonce, []))} executed, nobody asked"
        findings.append(Finding("phantom", nonce, detail))
    all_rows = [row for some in rows.values() for row in some]
    return Verdict(
        findings=tuple(findings),
        requests=len(wishes),
        accepted=sum(wish.seen is DatabaseInfo.OK for wish in wishes),
        refused=sum(wish.seen is DatabaseInfo.FAIL for wish in wishes),
        executed=sum(map(len, calls.values())),
        unknown=sum(row.outcomes.count("unknown") for row in all_rows),
        statuses=Counter(row.status for row in all_rows),
    )


def _of_one(wish: Wish, rows: Sequence[CallbackRecord], calls: Sequence[Executed]) -> Iterator[Finding]:
    told = {answer.callback_id for answer in wish.answers if answer.status == 202}
    if len(rows) > 1 or len(told) > 1:
        yield Finding("duplicated", wish.nonce, f"ids stored {[row.id for row in rows]}, told {sorted(map(str, told))}")
    for missing in told - {row.id for row in rows}:
        yield Finding("lost", wish.nonce, f"told 202 for {missing}, which is not stored")
    if wish.seen is DatabaseInfo.FAIL and (rows or calls):
        yield Finding("phantom", wish.nonce, f"refused, but {len(rows)} stored and {len(calls)} executed")
    if wish.seen is DatabaseInfo.INFO and rows:
        yield Finding("unanswered", wish.nonce, f"stored as {rows[0].status}")
    if calls and not rows:
        yield Finding("phantom", wish.nonce, f"{len(calls)} executed, nothing stored")
    yield from _of_calls(wish, [outcome for row in rows for outcome in row.outcomes], calls)
    for row in rows:
        if row.status not in _FINAL or row.waiting or None in row.outcomes:
            yield Finding("stuck", wish.nonce, f"{row.status}, waiting: {row.waiting}, outcomes {row.outcomes}")
        if row.status == "placed" and not calls:
            yield Finding("lost", wish.nonce, "delivered, but nothing was executed")


def _of_calls(wish: Wish, outcomes: Sequence[str | None], calls: Sequence[Executed]) -> Iterator[Finding]:
    explained = outcomes.count("placed") + outcomes.count("unknown")
    if len(calls) > max(explained, 1) or (outcomes and len(calls) > explained):
        yield Finding("excess", wish.nonce, f"{len(calls)} executed, outcomes {outcomes}")
    if 0 < len(calls) < outcomes.count("placed"):
        yield Finding("lost", wish.nonce, f"{len(calls)} executed, outcomes {outcomes}")
    for _ in calls[1:]:
        yield Finding("doubled", wish.nonce, f"{len(calls)} executed, outcomes {outcomes}")
    for call in calls:
        wrong = {name for name, _ in call.parameters.items() ^ wish.asked.items()}
        if wrong:
            yield Finding("altered", wish.nonce, f"{sorted(wrong)} in {dict(call.parameters)}")
