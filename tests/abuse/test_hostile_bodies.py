"""Hostile requests have no effect: no unexpected error, no echo in a response or the log, no growth of memory.

The service is a process of its own, as in production: its log and its memory are read from outside.
"""

import itertools
import json
import random
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.abuse import corpus
from tests.abuse.corpus import CANARY_SLOT, FIELDS, GOOD, KEY, PAGE
from tests.abuse.wire import Headers, HostileRequest, RawConnection, assert_harmless, resident_memory
from tests.abuse.written import NAMES, VALUES
from tests.databases import PostgreSQL
from tests.faults.doses import LONG, dose, note
from tests.running import API_KEY, Chaser, Process, chaser, process, values

pytestmark = pytest.mark.timeout(7200 if LONG else 900)

CANARY = f"zq{secrets.token_hex(5)}qz"
"""Part of every request, and random in each run, so that no list of exceptions in the service could contain it."""
CORPUS = list(corpus.corpus())
BATCH = 20
# Hypothesis takes seven times as long to generate objects as the service to refuse them.
OBJECTS, ANYTHING, MUTATIONS, ROUNDS = dose((75, 150, 10_500, 1), (750, 2_500, 125_000, 2))
THINNED = dose(3, 1)
MOST_MEMORY = 12 * 1024 * 1024
WARM_UP = 300

ANY_NUMBER_OF = {"time", "request_id", "duration_ms", "callback", "client_phone", "due_at", "suppressed"}
"""Fields whose values the service generates, one for each request."""
MOST_NAMES, MOST_VALUES = 60, 40


class Attack:
    """The service under attack: sends requests, checks each response, and at the end the log and the memory."""

    def __init__(self, here: Process, far_side: Chaser, connection: RawConnection) -> None:
        self.here, self.far_side, self.connection = here, far_side, connection
        self.codes: Counter[str] = Counter()
        self._read = 0
        self._values: defaultdict[str, set[str]] = defaultdict(set)

    def send(self, hostile: HostileRequest) -> None:
        """Send one request with the canary of this run, and check its response."""
        hostile = corpus.with_canary(hostile, CANARY)
        answer = self.connection.send(hostile)
        code = assert_harmless(hostile, answer, CANARY)
        self.codes[code or str(answer.status)] += 1

    def assert_nothing_happened(self, memory_before: int) -> int:
        """Check the log since the last check, the memory, and that Chaser never received an invalid signature.

        Return the growth of the memory in bytes.
        """
        rise = resident_memory(self.here.process.pid) - memory_before
        assert rise < MOST_MEMORY, f"memory rose by {rise} bytes"
        output = self.here.output()
        written, self._read = output[self._read :], len(output)
        assert CANARY.lower() not in written.lower()
        assert all(character == "\n" or " " <= character <= "~" for character in written)
        for line in written.splitlines():
            for name, value in json.loads(line).items():
                for each in value if isinstance(value, list) else [value]:
                    self._values[name].add(json.dumps(each))
        assert all(name.isascii() and name.isidentifier() for name in self._values)
        assert len(self._values) <= MOST_NAMES
        assert not self._values["level"] & {'"ERROR"', '"CRITICAL"'}
        for name in self._values.keys() - ANY_NUMBER_OF:
            assert len(self._values[name]) <= MOST_VALUES, f"clients choose {name}: {self._values[name]}"
        assert not self.far_side.requests(status="401")
        return rise


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        chaser() as far_side,
        process(folder, wide(folder, far_side.api_url)) as here,
        closing(RawConnection(here.url)) as connection,
    ):
        attack = Attack(here, far_side, connection)
        for hostile in CORPUS[:: len(CORPUS) // WARM_UP]:
            attack.send(hostile)
        yield attack


def wide(folder: Path, chaser_url: str, **overrides: Any) -> dict[str, Any]:
    return values(folder, chaser_url, limits={"flood": "1000000/minute"}, **overrides)


def run(attack: Attack, name: str, requests: Iterable[HostileRequest]) -> None:
    before, sent, codes = resident_memory(attack.here.process.pid), attack.connection.sent, Counter(attack.codes)
    for hostile in requests:
        attack.send(hostile)
    rise = attack.assert_nothing_happened(before)
    sent = attack.connection.sent - sent
    note(f"hostile {name}", f"{sent} requests, {rise / 2**20:+.1f} MB, {dict(attack.codes - codes)}")


def test_a_dose_is_20_000_requests_and_a_long_one_200_000() -> None:
    assert len(CORPUS) * ROUNDS + (OBJECTS + ANYTHING) * BATCH + MUTATIONS >= dose(20_000, 200_000)


def test_nothing_in_the_corpus_does_anything(attack: Attack) -> None:
    run(attack, "corpus", (hostile for _ in range(ROUNDS) for hostile in CORPUS))


def test_nothing_in_the_corpus_does_anything_on_postgresql(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """PostgreSQL accepts other texts than SQLite: for example none with a zero character."""
    chosen = {"database_url": postgresql.new_database()}
    with (
        chaser() as far_side,
        process(tmp_path, wide(tmp_path, far_side.api_url, **chosen)) as here,
        closing(RawConnection(here.url)) as connection,
    ):
        attack = Attack(here, far_side, connection)
        # Every third one from a random start, because adjacent bodies have the same effect on a database.
        for hostile in itertools.islice(corpus.bodies(), secrets.randbelow(THINNED), None, THINNED):
            attack.send(hostile)
        attack.assert_nothing_happened(resident_memory(here.process.pid))


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")[: 16 * 1024]


_TEXT = st.text(st.characters(codec=None), max_size=20)
_WRITTEN = (
    st.sampled_from(VALUES)
    | _TEXT.map(lambda text: json.dumps(f"{CANARY_SLOT}{text}"))
    | _TEXT.map(lambda text: json.dumps(f"{text}{CANARY_SLOT}", ensure_ascii=False))
    | (st.integers() | st.floats() | st.datetimes().map(str) | st.ip_addresses().map(str)).map(json.dumps)
)
_NAME = st.sampled_from(FIELDS) | st.sampled_from(NAMES)
_NESTED = st.recursive(
    _WRITTEN,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(_NAME, inner, max_size=3).map(_object)
    ),
    max_leaves=4,
)
_TOKENS = st.lists(
    st.sampled_from(
        [
            *'{}[]:,"',
            *(f'"{field}"' for field in FIELDS),
            '"shop"',
            '"89160000099"',
            "1",
            "NaN",
            "null",
            "\\u",
            CANARY_SLOT,
        ]
    ),
    max_size=25,
).map("".join)
_NOISE = st.binary(max_size=60)


_OBJECTS = st.dictionaries(_NAME, _NESTED, max_size=4).map(
    lambda members: _encoded(_object({name: json.dumps(value) for name, value in GOOD.items()} | members))
)
_ANYTHING = _NOISE | _TOKENS.map(_encoded) | _NESTED.map(_encoded)
_SENDERS = st.sampled_from([PAGE, KEY])
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def batches_of(attack: Attack, bodies: st.SearchStrategy[bytes], examples: int) -> None:
    @settings(max_examples=examples, database=None, suppress_health_check=_SLOW)
    @given(st.lists(st.tuples(bodies, _SENDERS), min_size=BATCH, max_size=BATCH))
    def batches(batch: list[tuple[bytes, Headers]]) -> None:
        for body, headers in batch:
            attack.send(HostileRequest(headers=headers, body=body))

    before = resident_memory(attack.here.process.pid)
    batches()
    attack.assert_nothing_happened(before)


def test_no_object_with_any_values_does_anything(attack: Attack) -> None:
    batches_of(attack, _OBJECTS, OBJECTS)


def test_no_bytes_in_place_of_an_object_do_anything(attack: Attack) -> None:
    batches_of(attack, _ANYTHING, ANYTHING)


WHOLE = {
    "site": "shop",
    "client_phone": "8 (916) 000-00-98",
    "active_page": f"https://shop.example/{CANARY_SLOT}?a=%D0%BF",
    "referrer": f"https://search.example/?q={CANARY_SLOT}",
    "planned_time": "2099-01-01T10:00:00+03:00",
    "consent": {"accepted": True, "version": "1", "text": CANARY_SLOT},
    "request_id": f"{CANARY_SLOT}-1",
    "challenge": "eyJhIjoxfQ==",
    "client_ip": "192.0.2.1",
    "nwt_action": "always_call",
    "call_stack_start_hour": 9,
}


def mutated(chance: random.Random) -> HostileRequest:
    """Return a valid request, damaged in one or several places: bits flipped, bytes removed, added, doubled, moved."""
    members = chance.sample(sorted(WHOLE), chance.randint(2, len(WHOLE)))
    body = bytearray(json.dumps({name: WHOLE[name] for name in members} | GOOD).encode())
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        where = chance.randrange(len(body) + 1)
        match chance.randrange(6):
            case 0 if where < len(body):
                body[where] ^= 1 << chance.randrange(8)
            case 1:
                del body[where : where + chance.randint(1, 4)]
            case 2:
                body[where:where] = chance.randbytes(chance.randint(1, 4))
            case 3:
                body[where:where] = body[where : where + chance.randint(1, 30)]
            case 4:
                body[where:where] = chance.choice(
                    (b"\\u0000", b"\\ud800", b"1e999", b"\xff", b'"', b"}", b"[", b"\r\n")
                )
            case 5:
                body = body[where:] + body[:where]
    headers = PAGE if chance.random() < 0.5 else KEY
    return HostileRequest(headers=headers, body=bytes(body))


def test_no_damaged_request_does_anything(attack: Attack) -> None:
    seed = secrets.randbits(32)
    chance = random.Random(seed)  # the seed is printed and reproduces the run
    run(attack, f"mutations (seed {seed})", (mutated(chance) for _ in range(MUTATIONS)))


def test_the_service_that_was_attacked_still_works(attack: Attack) -> None:
    attack.here.accepted()
    headers = {"authorization": f"Bearer {API_KEY}"}
    # A key of its own: one of the damaged requests may have used the canary as its request_id.
    request_id = secrets.token_hex(16)
    assert attack.here.ask(headers, client_phone=GOOD["client_phone"], request_id=request_id).status_code == 202
