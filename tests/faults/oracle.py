"""The test oracle: joins requests, stored callbacks and executed calls, and reports violations. Pure: no I/O.

Three independent records are joined by a nonce in the query of `active_page`: of the client (load.py), the database and
the simulator. As in Jepsen, a client's view of its request is `ok` (answered 202), `fail` (refused), or `info`: no
answer, so that both outcomes are correct.

- lost: a 202 without a stored callback, a duplicate without its original, or a placed attempt without an executed call
- excess: more executed calls than placed and unknown attempts of the callback
- phantom: executed or stored, but never requested, or requested and refused
- altered: executed with other parameters than requested
- stuck: not in a final status long after the last fault
- duplicated: several callbacks or several ids for one request

These fail a run. Three more are only counted: doubled (a second call after an unknown outcome), unanswered (stored, but
the client got no answer) and merged (a duplicate: the call of another request covers it).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FAILING = ("lost", "excess", "phantom", "altered", "stuck", "duplicated")
_COUNTED = ("doubled", "unanswered", "merged")
_FINAL = ("placed", "failed", "unknown", "cancelled", "duplicate")


class ClientView(StrEnum):
    """The outcome of a request as its client knows it."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one attempt; `status` is None without an answer. `seconds`: the response time."""

    status: int | None
    callback_id: str | None = None
    seconds: float = 0.0
    code: str | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request with the answers to all its attempts. `expected`: the parameters that Chaser should get."""

    nonce: str
    expected: Mapping[str, str]
    answers: Sequence[Answer]

    @property
    def view(self) -> ClientView:
        """The client's view. A 5xx counts as no answer: the callback may be committed nevertheless."""
        statuses = [answer.status for answer in self.answers]
        if 202 in statuses:
            return ClientView.OK
        if statuses and all(status is not None and status < 500 for status in statuses):
            return ClientView.FAIL
        return ClientView.INFO


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A callback in the database.

    `outcomes`: of its attempts in order, None for one without outcome. `waiting`: it has a due time.
    `duplicate_of`: the callback that it was merged into.
    """

    id: str
    nonce: str | None
    status: str
    waiting: bool
    outcomes: tuple[str | None, ...]
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutedCall:
    """A call in the simulator's ledger."""

    nonce: str | None
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation, or one counted event."""

    kind: str
    nonce: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings of the oracle, and its figures."""

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
        """Whether there is no violation."""
        return not any(finding.kind in FAILING for finding in self.findings)

    def __str__(self) -> str:
        kinds = (*FAILING, *_COUNTED)
        return (
            f"requests {self.requests}, accepted {self.accepted}, refused {self.refused}, executed {self.executed}, "
            + ", ".join(f"{kind} {self.count(kind)}" for kind in kinds)
            + f", unknown outcomes {self.unknown}; "
            + ", ".join(f"{status} {count}" for status, count in sorted(self.statuses.items()))
        )

    def explain(self, limit: int = 20) -> str:
        """Return the figures and the first `limit` violations as text."""
        violations = [finding for finding in self.findings if finding.kind in FAILING][:limit]
        return "\n".join([str(self), *(f"{each.kind} {each.nonce}: {each.detail}" for each in violations)])


def judge(
    requests: Sequence[RequestRecord], stored: Iterable[CallbackRecord], executed: Iterable[ExecutedCall]
) -> Verdict:
    """Join the three records and return the verdict. Call it after the faults, when every callback should be final."""
    rows, calls = defaultdict(list), defaultdict(list)
    for row in stored:
        rows[row.nonce].append(row)
    for call in executed:
        calls[call.nonce].append(call)
    known = {request.nonce for request in requests}
    findings: list[Finding] = []
    for request in requests:
        findings += _check_request(request, rows.get(request.nonce, []), calls.get(request.nonce, []))
    for nonce in (rows.keys() | calls.keys()) - known:
        detail = f"{len(rows.get(nonce, []))} stored, {len(calls.get(nonce, []))} executed, never requested"
        findings.append(Finding("phantom", nonce, detail))
    all_rows = [row for of_nonce in rows.values() for row in of_nonce]
    findings += _check_duplicates(all_rows)
    return Verdict(
        findings=tuple(findings),
        requests=len(requests),
        accepted=sum(request.view is ClientView.OK for request in requests),
        refused=sum(request.view is ClientView.FAIL for request in requests),
        executed=sum(map(len, calls.values())),
        unknown=sum(row.outcomes.count("unknown") for row in all_rows),
        statuses=Counter(row.status for row in all_rows),
    )


def _check_request(
    request: RequestRecord, rows: Sequence[CallbackRecord], calls: Sequence[ExecutedCall]
) -> Iterator[Finding]:
    nonce = request.nonce
    ids = {answer.callback_id for answer in request.answers if answer.status == 202}
    if len(rows) > 1 or len(ids) > 1:
        yield Finding("duplicated", nonce, f"ids stored {[row.id for row in rows]}, answered {sorted(map(str, ids))}")
    # With an API key a duplicate is answered with the id of its original.
    for missing in ids - {row.id for row in rows} - {row.duplicate_of for row in rows}:
        yield Finding("lost", nonce, f"202 for {missing}, which is not stored")
    if request.view is ClientView.FAIL and (rows or calls):
        yield Finding("phantom", nonce, f"refused, but {len(rows)} stored and {len(calls)} executed")
    if request.view is ClientView.INFO and rows:
        yield Finding("unanswered", nonce, f"stored as {rows[0].status}")
    if calls and not rows:
        yield Finding("phantom", nonce, f"{len(calls)} executed, nothing stored")
    yield from _check_calls(request, rows, calls)
    for row in rows:
        if row.status not in _FINAL or row.waiting or None in row.outcomes:
            yield Finding("stuck", nonce, f"{row.status}, waiting: {row.waiting}, outcomes {row.outcomes}")
        if row.status == "placed" and not calls:
            yield Finding("lost", nonce, "placed, but nothing was executed")


def _check_duplicates(rows: Sequence[CallbackRecord]) -> Iterator[Finding]:
    originals = {row.id for row in rows if row.status != "duplicate"}
    for row in rows:
        if row.status == "duplicate":
            yield Finding("merged", row.nonce, f"into {row.duplicate_of}")
            if row.duplicate_of not in originals:
                yield Finding("lost", row.nonce, f"merged into {row.duplicate_of}, which is no original")


def _check_calls(
    request: RequestRecord, rows: Sequence[CallbackRecord], calls: Sequence[ExecutedCall]
) -> Iterator[Finding]:
    outcomes = [outcome for row in rows for outcome in row.outcomes]
    explained = outcomes.count("placed") + outcomes.count("unknown")
    merged = any(row.status == "duplicate" for row in rows)
    if len(calls) > max(explained, 1) or ((outcomes or merged) and len(calls) > explained):
        yield Finding("excess", request.nonce, f"{len(calls)} executed, outcomes {outcomes}")
    if 0 < len(calls) < outcomes.count("placed"):
        yield Finding("lost", request.nonce, f"{len(calls)} executed, outcomes {outcomes}")
    for _ in calls[1:]:
        yield Finding("doubled", request.nonce, f"{len(calls)} executed, outcomes {outcomes}")
    for call in calls:
        differing = {name for name, _ in call.parameters.items() ^ request.expected.items()}
        if differing:
            yield Finding("altered", request.nonce, f"{sorted(differing)} in {dict(call.parameters)}")
