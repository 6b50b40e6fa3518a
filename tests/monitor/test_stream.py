"""The stream: a snapshot first, then everything in order, and nobody waits for a slow one."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from monitor import messages
from monitor.clock import Clock
from monitor.stream import CLIENT_QUEUE, SlowClient, Stream, Subscription
from tests.monitor.made import at, measurement, snapshot
from tests.waiting import until

State = list[messages.Measurement]


def stream_of(state: State) -> Stream:
    """A stream whose snapshot holds the measurements that are in the list."""
    return Stream(Clock(), lambda: snapshot(measurements=list(state)))


def progress(received: int) -> messages.ScanProgress:
    """A slice came."""
    return messages.ScanProgress(
        procedure_id="p",
        series_instance_uid="1.2",
        received=received,
        expected=None,
        complete=False,
    )


async def settled() -> None:
    """Let the loop do what was handed to it."""
    for _ in range(3):
        await asyncio.sleep(0)


async def take(client: Subscription, count: int) -> list[dict[str, Any]]:
    """The next messages."""
    return [json.loads(await asyncio.wait_for(client.next(), 10)) for _ in range(count)]


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on an event loop, as the web side does."""
    asyncio.run(test())


def test_the_snapshot_is_first_and_the_rest_follows() -> None:
    async def test() -> None:
        state: State = []
        stream = stream_of(state)
        stream.attach(asyncio.get_running_loop())
        for n in range(3):
            stream.publish(progress(n))
        await settled()
        client = stream.subscribe()
        state.append(measurement(1))
        stream.publish(state[-1])
        stream.publish(progress(3))
        first, second, third = await take(client, 3)
        assert (first["type"], first["seq"], first["run"]) == ("snapshot", 3, stream.run)
        assert first["data"]["measurements"] == []
        assert (second["type"], second["seq"]) == ("measurement", 4)
        assert second["data"]["id"] == measurement(1).id
        assert (third["type"], third["seq"]) == ("scan_progress", 5)
        assert {second["run"], third["run"]} == {stream.run}
        late = stream.subscribe()
        (shown,) = await take(late, 1)
        assert shown["seq"] == 5
        assert [m["id"] for m in shown["data"]["measurements"]] == [measurement(1).id]

    on_loop(test)


def test_what_is_in_the_snapshot_does_not_come_again() -> None:
    """A snapshot never holds what a later message tells as new."""

    async def test() -> None:
        state: State = []
        stream = stream_of(state)
        stream.attach(asyncio.get_running_loop())
        state.append(measurement(1))
        stream.publish(state[-1])  # under way to the loop
        client = stream.subscribe()
        await settled()
        first, second = await take(client, 2)
        assert first["data"]["measurements"] == []
        assert second["type"] == "measurement"

    on_loop(test)


def test_a_slow_client_is_cut_off_and_nobody_else() -> None:
    async def test() -> None:
        stream = stream_of([])
        stream.attach(asyncio.get_running_loop())
        slow, quick = stream.subscribe(), stream.subscribe()
        got = await take(quick, 1)
        total = CLIENT_QUEUE + 50
        for n in range(total):
            stream.publish(progress(n))
            await settled()
            got += await take(quick, 1)
        assert [m["seq"] for m in got] == list(range(total + 1))
        assert [m["data"]["received"] for m in got[1:]] == list(range(total))
        with pytest.raises(SlowClient):
            await slow.next()
        stream.unsubscribe(slow)
        assert stream.clients == 1
        stream.publish(progress(1))
        (after,) = await take(quick, 1)
        assert after["seq"] == total + 1

    on_loop(test)


def test_a_client_that_just_keeps_up_is_not_cut_off() -> None:
    async def test() -> None:
        stream = stream_of([])
        stream.attach(asyncio.get_running_loop())
        client = stream.subscribe()
        for n in range(CLIENT_QUEUE - 1):  # the snapshot waits too
            stream.publish(progress(n))
        await settled()
        got = await take(client, CLIENT_QUEUE)
        assert [m["seq"] for m in got] == list(range(CLIENT_QUEUE))

    on_loop(test)


def test_publishing_from_another_thread_never_waits() -> None:
    async def test() -> None:
        stream = stream_of([])
        stream.attach(asyncio.get_running_loop())
        client = stream.subscribe()
        published = threading.Event()

        def publish() -> None:
            for n in range(100):
                stream.publish(progress(n))
            published.set()

        thread = threading.Thread(target=publish)
        thread.start()
        # The loop is held up here: the thread must come to its end all the same.
        until(published.is_set, "the thread")
        thread.join()
        got = await take(client, 101)
        assert [m["seq"] for m in got] == list(range(101))

    on_loop(test)


def test_a_loop_that_is_held_up_does_not_gather_messages_without_end() -> None:
    """With more than may wait some are dropped, and no client goes on as if it had them all."""

    async def test() -> None:
        state: State = []
        stream = stream_of(state)
        stream.attach(asyncio.get_running_loop())
        client = stream.subscribe()
        await take(client, 1)
        for n in range(CLIENT_QUEUE):
            stream.publish(progress(n))
        state.append(measurement(1))
        stream.publish(state[-1])  # dropped
        await settled()
        await take(client, CLIENT_QUEUE)  # it has kept up, but for what was never handed over
        stream.publish(progress(1))
        await settled()
        with pytest.raises(SlowClient):
            await client.next()
        (first,) = await take(stream.subscribe(), 1)
        assert len(first["data"]["measurements"]) == 1

    on_loop(test)


def test_before_the_web_is_up_the_state_is_kept() -> None:
    async def test() -> None:
        state: State = []
        stream = stream_of(state)
        state.append(measurement(1))
        stream.publish(state[-1])
        stream.attach(asyncio.get_running_loop())
        (first,) = await take(stream.subscribe(), 1)
        assert len(first["data"]["measurements"]) == 1

    on_loop(test)


def test_after_the_web_has_ended_nothing_is_sent_or_raised() -> None:
    stream = stream_of([])

    async def test() -> None:
        stream.attach(asyncio.get_running_loop())
        stream.subscribe()

    on_loop(test)
    stream.publish(progress(1))
    stream.detach()
    stream.publish(progress(2))


def test_the_snapshots_clock_is_that_of_its_sending() -> None:
    async def test() -> None:
        stream = stream_of([])  # its snapshot says at(0)
        (first,) = await take(stream.subscribe(), 1)
        assert first["data"]["clock"]["now"] != at(0).isoformat().replace("+00:00", "Z")

    on_loop(test)


def test_runs_differ() -> None:
    assert stream_of([]).run != stream_of([]).run
