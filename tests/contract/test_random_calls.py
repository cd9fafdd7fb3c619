"""Thousands of random calls signed by the client, and verified by the simulator like a server written in PHP.

The simulator's implementation of PHP's rules shares no code with ours. A failure prints the call and the seed.
pytest-randomly seeds `random`, so `-p randomly_seed=…` repeats a run.
"""

import asyncio
import random
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.chaser import Call, ChaserClient
from app.chaser.signing import request_body
from app.simulator.options import Account, Options, Site
from app.simulator.php import parse_str
from app.simulator.request_rules import read_call, signature_matches
from app.simulator.running import running
from tests.simulator.support import Client as Control

LATEST = 253_370_764_800
"""The last second that the simulator can format as a date."""

ALPHABETS = [
    "~ +%&=[]#?/;:,.-_!*'()\"<>\\^`{|}@$",
    "abcxyzABCXYZ0189",
    "\0\t\r\n\x1f\x7f\x85\u00a0\u2028\ufeff\u200b\u200f",
    "абвёЯй“—קשمر漢字ſİıßẞ",
    "📞👩‍💻\U0010ffff\ufffd\uffff",
]
PLANE_ENDS = [0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, sys.maxunicode]
AWKWARD = ["", "0", "%7E", "%", "%zz", "+", "&SecurityKey=0", "x&PrivateSecurityKey=y", "a[0]=1&b[]=2", "=", "null"]


class RandomCalls:
    """Random values over the whole range of every parameter."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def text(self) -> str:
        if self._random.random() < 0.1:
            return self._random.choice(AWKWARD)
        length = self._random.choice([1, 3, 10, 40])
        characters = self._random.choices(self._random.choice(ALPHABETS), k=length)
        return "".join([*characters, chr(self._random.choice([*PLANE_ENDS, self._random.randint(0, 0xD7FF)]))])

    def phone(self) -> str:
        return str(self._random.randint(1, 9)) + "".join(
            self._random.choices("0123456789", k=self._random.randint(6, 14))
        )

    def call(self, *site_ids: int) -> Call:
        parameters: dict[str, Any] = {
            "manager_phone": self.phone(),
            "planned_time": self._random.randint(1, LATEST),
            "active_page": self.text(),
            "client_ip": str(self._random.choice([IPv4Address, IPv6Address])(self._random.getrandbits(32))),
            "message_on_ring": self.text(),
            "nwt_action": self._random.choice(["create_leed", "always_call"]),
            "referrer": self.text(),
        }
        if parameters["nwt_action"] == "always_call":
            parameters["call_stack_start_hour"] = self._random.randint(0, 24)
            parameters["call_stack_interval"] = self._random.randint(0, 60)
        kept = {name: value for name, value in parameters.items() if self._random.random() < 0.7}
        if "nwt_action" not in kept:
            kept = {name: value for name, value in kept.items() if not name.startswith("call_stack_")}
        site_id = self._random.choice(site_ids or (self._random.randint(1, 2**63 - 1),))
        return Call(site_id=site_id, client_phone=self.phone(), **kept)


def sent(call: Call) -> dict[bytes, bytes]:
    return {name.encode(): str(value).encode() for name, value in call.parameters()}


def assert_accepted(call: Call, client_id: str, private_key: str) -> None:
    decoded = parse_str(request_body(call.parameters(), client_id, private_key))
    assert signature_matches(decoded, private_key)
    assert not signature_matches(decoded | {b"client_phone": b"1"}, private_key)
    assert decoded == sent(call) | {b"client_id": client_id.encode(), b"SecurityKey": decoded[b"SecurityKey"]}
    read_call({**sent(call)})


def test_ten_thousand_random_calls_are_accepted_by_the_server():
    seed = random.getrandbits(64)
    generator = RandomCalls(seed)
    for number in range(10_000):
        call, client_id, private_key = generator.call(), generator.text(), generator.text()
        try:
            assert_accepted(call, client_id, private_key)
        except Exception as error:
            error.add_note(f"seed {seed}, call {number}: {call.parameters()!r}, {client_id!r}, {private_key!r}")
            raise


texts = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=500, deadline=None)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("active_page", "message_on_ring", "referrer"), texts)),
    texts,
    texts,
)
def test_calls_with_any_texts_are_accepted_by_the_server(parameters: dict[str, str], client_id: str, private_key: str):
    assert_accepted(Call(site_id=1, client_phone="79161234567", **parameters), client_id, private_key)


async def test_hundreds_of_random_calls_arrive_over_http_unchanged():
    generator = RandomCalls(random.getrandbits(64))
    account = Account("4711 ~&+ключ", "k&e=y +%ключ~", (Site("1", "one.example"), Site("2", "two.example")))
    calls = [generator.call(1, 2) for _ in range(300)]
    async with running(Options((account,), ring_seconds=60.0)) as simulator:
        async with ChaserClient(account.client_id, account.private_key, api_url=simulator.api_url) as chaser:
            for batch in range(0, len(calls), 10):
                await asyncio.gather(*(chaser.call(call) for call in calls[batch : batch + 10]))
        executed = await Control(simulator).calls()
    arrived = [list(call["params"].items()) for call in executed]
    sent_parameters = [[(name, str(value)) for name, value in call.parameters()] for call in calls]
    assert sorted(arrived) == sorted(sent_parameters)
