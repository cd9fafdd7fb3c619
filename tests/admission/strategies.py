"""Random histories for the property tests: requests of a few people for a few phones, and what happens meanwhile."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import Phase, given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.admission.history import UNKNOWN, Act, Ask, Crowd, Event, Faulty, Look, Repeat, Runner, Same, Step
from tests.admission.shops import SHOPS

PHONES = ("79161000001", "79161000002", "79161000003")
V4 = ("203.0.113.1", "203.0.113.2", "203.0.113.200", "198.51.100.7")
V6 = ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1:1::1", "2001:db8:1:100::1", "2001:db8:2::1")
"""Addresses of one /64, of its /56, of its /48, and of another /48."""
ADDRESSES = V4 + V6
NAMES = tuple(shop.name for shop in SHOPS)
KNOWN = tuple(shop.name for shop in SHOPS if shop.known)

_DAY = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday; the clocks of New York change on the 8th, of Berlin on the 29th
_HOURS = (0.5, 5.9, 6, 7.5, 10, 14.98, 14.99, 15, 20)  # 14.99 UTC is the last minute of working hours in Moscow
SECONDS = (0.5, 1, 5, 19, 20, 21, 30, 59, 60, 61, 300, 1800, 3599, 3600, 7200, 21600, 43200, 86399, 86400, 172800)

numbers = st.sampled_from((-1, -1, -2, -3, 0, 1, 2, 5))
"""Of an earlier request, from the first or from the latest."""
steps = st.builds(Step, st.sampled_from(SECONDS))
setbacks = st.builds(Step, st.sampled_from((5, 60, 1800, 7200, -5, -60, -1800, -7200)), st.just(True))
looks = st.builds(Look, numbers)
repeats = st.builds(Repeat, numbers)
acts = st.builds(Act, st.sampled_from(("release", "retry", "cancel")), numbers)
faults = st.builds(
    Faulty,
    st.sampled_from(("lost", "lost_before", "refused", "unavailable", "rejected")),
    st.sampled_from((1, 2, 4, 40)),
)
latencies = st.sampled_from((0.0, 0.0, 2.0)).map(lambda seconds: timedelta(seconds=seconds))


def starts() -> st.SearchStrategy[datetime]:
    """Draw when a history begins: by day, by night, just before closing, before a weekend or a change of clocks."""
    return st.builds(
        lambda day, hour: _DAY + timedelta(days=day, hours=hour), st.integers(0, 27), st.sampled_from(_HOURS)
    )


_ONE_IN_FOUR = st.integers(0, 3).map(lambda number: number == 3)


@st.composite
def asks(
    draw: st.DrawFn,
    shops: tuple[str, ...] = NAMES,
    phones: tuple[str, ...] = PHONES,
    addresses: tuple[str, ...] = ADDRESSES,
    *,
    keys: bool = True,
    honeypots: bool = True,
    again: bool = True,
) -> Ask:
    """Draw a request of a visitor, or with the API key."""
    shop = draw(st.sampled_from(shops))
    by_key = keys and draw(_ONE_IN_FOUR)
    planned = draw(_ONE_IN_FOUR)
    soon = planned and draw(_ONE_IN_FOUR)
    extra: tuple[tuple[str, Any], ...] = ()
    if by_key and draw(_ONE_IN_FOUR):
        extra = draw(st.sampled_from(_OF_KNOWN if shop in KNOWN else _OF_ALL))
    return Ask(
        shop,
        draw(st.sampled_from(phones)),
        None if by_key else draw(st.sampled_from(addresses)),
        draw(st.sampled_from((None, None, None, "sales", "service"))),
        plan=draw(st.sampled_from((0, 1, 2, 5, 17, 30, 60, 75))) if planned and not soon else None,
        plan_seconds=draw(st.sampled_from((10, 40, 300, 3000) + ((90_000, 600_000) if by_key else ())))
        if soon
        else None,
        again=draw(st.sampled_from((-1, 0, 1, UNKNOWN))) if again and draw(_ONE_IN_FOUR) else None,
        request_id=draw(st.sampled_from(("a", "b"))) if draw(_ONE_IN_FOUR) else None,
        honeypot=honeypots and not by_key and draw(_ONE_IN_FOUR),
        extra=extra,
    )


_OF_ALL: tuple[tuple[tuple[str, Any], ...], ...] = (
    (("message_on_ring", "A lead"),),
    (("manager_phone", "74950000009"),),
)
_OF_KNOWN = (
    *_OF_ALL,
    (("nwt_action", "always_call"),),
    (("nwt_action", "always_call"), ("call_stack_start_hour", 12), ("call_stack_interval", 10)),
    (("nwt_action", "create_leed"),),
)


def plans() -> st.SearchStrategy[list[Event]]:
    """Draw a history of planned calls for one phone."""
    shop, address = st.sampled_from(NAMES), st.sampled_from((*ADDRESSES, None))
    planned = st.builds(Ask, shop, st.just(PHONES[0]), address, plan=st.integers(0, 75))
    return st.lists(st.one_of(planned, steps, acts), min_size=12, max_size=12)


@st.composite
def histories(
    draw: st.DrawFn,
    longest: int,
    *others: st.SearchStrategy[Any],
    phones: tuple[str, ...] = PHONES,
    addresses: tuple[str, ...] = ADDRESSES,
    crowds: bool = True,
    **options: bool,
) -> list[Event]:
    """Draw a history of a few people at one or two sites: requests, the same again, clock steps, and `others`."""
    cast = (
        draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map(tuple)),
        draw(st.lists(st.sampled_from(phones), min_size=1, max_size=3, unique=True).map(tuple)),
        draw(st.lists(st.sampled_from(addresses), min_size=1, max_size=4, unique=True).map(tuple)),
    )
    request = asks(*cast, **options)
    same = st.builds(Same, numbers, st.sampled_from(cast[2]), st.booleans())
    crowd = st.builds(Crowd, st.lists(request, min_size=2, max_size=4).map(tuple))
    kinds = (st.none(), request, request, crowd if crowds else request, same, same, steps, steps, *others)
    # Of a fixed length: a list of any length is mostly short. A history is shrunk to events that are None.
    events = draw(
        st.lists(st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__), min_size=longest, max_size=longest)
    )
    return [event for event in events if event is not None]


# Without the phase `explain`, which traces each line: it takes minutes.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


def hold(
    runner: Runner, examples: int, work: Callable[..., Coroutine[Any, Any, None]], *drawn: st.SearchStrategy[Any]
) -> None:
    """Check that `work` raises nothing for random arguments."""

    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        phases=_PHASES,
    )
    @given(st.tuples(*drawn))
    def check(arguments: tuple[Any, ...]) -> None:
        for argument in arguments:
            for each in argument if isinstance(argument, list) else [argument]:
                note(repr(each))
        runner.run(work(runner.service, *arguments))

    check()
