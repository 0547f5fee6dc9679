"""Hooks one after another: who is asked, who is heard, and what becomes of one that fails, is late, or says nonsense."""

import sys
import threading

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher

from mailfw.hooks.runner import CONTINUE, FAILURE, WAITING, Attached, Hooks
from mailfw.net.watchdog import Watchdog
from mailfw.stages import (
    STAGES,
    Accept,
    AddHeader,
    AddRecipient,
    ChangeSender,
    Continue,
    DeleteHeader,
    Discard,
    Disconnect,
    Event,
    Quarantine,
    Reject,
    ReplaceBody,
    Stage,
    TempFail,
)
from mailfw.tally import HookTally
from mailfw.testing.now import result
from mailfw.values import Address, Envelope, MessageSource, Recipient

MESSAGE = MessageSource(b"Subject: x\r\n\r\nbody\r\n")
EVENT = Event(Stage.END_OF_MESSAGE, envelope=Envelope(Address("a", "b")), message=MESSAGE)


@pytest.fixture
def make():
    made = []

    def make(*hooks, stage=Stage.END_OF_MESSAGE, clock=None, watchdog=None, **options):
        chain = [Attached(f"hook {number}", hook, **options) for number, hook in enumerate(hooks)]
        made.append(Hooks({stage: chain}, clock or Clock(), watchdog))
        return made[-1]

    yield make
    for hooks in made:
        result(hooks.close())


@pytest.fixture
def log():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def told(log):
    ours = [event for event in log if str(event.get("log_namespace")).startswith(("mailfw.hooks", "mailfw.net.watchdog"))]
    return [str(event.get("log_format")).format(**event) for event in ours]


def test_every_stage_has_rules():
    assert set(STAGES) == set(Stage)


def test_nobody_is_asked_where_there_is_nobody(make):
    hooks = make(lambda event: Reject())
    assert hooks.stages == {Stage.END_OF_MESSAGE}
    assert result(hooks.ask(Event(Stage.CONNECT))).result == CONTINUE


def test_in_order_each_seeing_what_those_before_it_left(make):
    seen = []

    def first(event):
        return Continue((AddHeader("X-First", "1"), ChangeSender(None)))

    async def second(event):
        seen.append((event.message.read(), event.envelope.sender))
        return Continue((DeleteHeader("Subject"), AddRecipient(Recipient(Address("c", "d")))))

    decision = result(make(first, second).ask(EVENT))
    assert seen == [(b"Subject: x\r\nX-First: 1\r\n\r\nbody\r\n", None)]
    assert decision.event.message.read() == b"X-First: 1\r\n\r\nbody\r\n"
    assert decision.event.envelope.recipients == (Recipient(Address("c", "d")),)
    assert len(decision.edits) == 4 and decision.result == CONTINUE


def test_who_refuses_ends_it(make):
    asked = []
    for said in (Reject(554, "5.7.0", "no"), TempFail(), Discard(), Disconnect()):
        hooks = make(lambda event, said=said: said, asked.append)
        assert result(hooks.ask(EVENT)).result == said
    assert asked == []


def test_accept_asks_no_further_and_quarantine_does(make):
    asked = []
    assert isinstance(result(make(lambda event: Accept((AddHeader("A", "b"),)), asked.append).ask(EVENT)).result, Accept)
    assert asked == []
    assert result(make(lambda event: Quarantine("spam"), asked.append).ask(EVENT)).result == Quarantine("spam")
    assert len(asked) == 1
    hooks = make(lambda event: Quarantine(), lambda event: Reject())
    assert result(hooks.ask(EVENT)).result == Reject()


def raises(event):
    raise RuntimeError("oh")


async def raisesLater(event):
    raise RuntimeError("oh")


NONSENSE = [
    raises, raisesLater, lambda event: "yes", lambda event: True, lambda event: Reject(250), lambda event: TempFail(550),
    lambda event: Continue((AddHeader("no name", "x"),)), lambda event: Continue((AddHeader(5, "x"),)),
    lambda event: Continue(("edit",)), lambda event: Reject(550, "4.7.1"), lambda event: Reject(550, "5.7.1\r\n250 fine"),
    lambda event: Reject("550"), lambda event: Reject(550, "5.7.1", None), lambda event: sys.exit(1),
]  # fmt: skip


@pytest.mark.parametrize("hook", NONSENSE)
def test_failure_is_never_consent_unless_configured(make, log, hook):
    asked = []
    assert result(make(hook, asked.append).ask(EVENT)).result == FAILURE
    assert asked == []
    assert result(make(hook, asked.append, isOptional=True).ask(EVENT)).result == CONTINUE
    assert len(asked) == 1
    assert all("hook 0" in line for line in told(log)) and len(told(log)) == 2


def test_results_and_edits_are_held_to_the_stage(make):
    assert result(make(lambda event: Discard(), stage=Stage.CONNECT).ask(Event(Stage.CONNECT))).result == FAILURE
    late = make(lambda event: Continue((ReplaceBody(b""),)), stage=Stage.MAIL_FROM)
    assert result(late.ask(Event(Stage.MAIL_FROM, envelope=Envelope(None)))).result == FAILURE


def test_a_deadline(make, log):
    clock = Clock()
    waiting = Deferred()

    async def slow(event):
        await waiting
        return Accept()

    found = []
    Deferred.fromCoroutine(make(slow, clock=clock, deadline=3.0).ask(EVENT)).addBoth(found.append)
    clock.advance(2.9)
    assert found == []
    clock.advance(0.2)
    assert found[0].result == FAILURE
    assert told(log) == ["hook hook 0 has not answered end_of_message within 3.0 s"]
    assert not clock.getDelayedCalls()


def test_a_hook_that_does_not_heed_the_end_is_not_waited_for(make):
    clock = Clock()

    async def stubborn(event):
        while True:
            try:
                await Deferred(lambda d: d.callback(None))
            except BaseException:
                pass
            await never
            return Accept()

    never = Deferred(lambda d: None)
    found = []
    Deferred.fromCoroutine(make(stubborn, clock=clock, deadline=1.0, isOptional=True).ask(EVENT)).addBoth(found.append)
    clock.advance(1.1)
    assert found[0].result == CONTINUE
    never.errback(RuntimeError("too late to matter"))


def test_calls_under_way_are_bounded(make):
    clock = Clock()

    async def slow(event):
        await deferLater(clock, 5)

    hooks = make(slow, clock=clock, deadline=10.0)
    found = []
    for _ in range(WAITING + 1):
        Deferred.fromCoroutine(hooks.ask(EVENT)).addBoth(found.append)
    assert [decision.result for decision in found] == [FAILURE]
    clock.advance(5)
    assert [decision.result for decision in found[1:]] == [CONTINUE] * WAITING


def test_telling_waits_for_nobody(make):
    seen = []
    make(seen.append, stage=Stage.DELIVERED).tell(Event(Stage.DELIVERED))
    assert len(seen) == 1


@pytest_twisted.ensureDeferred
async def test_plain_functions_run_in_threads_and_coroutines_in_the_reactors():
    names = []

    def plain(event):
        names.append(threading.current_thread() is threading.main_thread())

    async def coroutine(event):
        await succeed(None)
        names.append(threading.current_thread() is threading.main_thread())

    hooks = Hooks({Stage.EHLO: [Attached("p", plain), Attached("c", coroutine)]}, reactor)
    assert (await hooks.ask(Event(Stage.EHLO))).result == CONTINUE
    assert names == [False, True]
    await hooks.close()


def test_calls_and_failures_are_counted(make):
    answers = iter([None, Reject(550, "5.7.1", "no"), RuntimeError(), "nonsense", None])

    async def hook(event):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tally = HookTally()
    hooks = make(hook, tally=tally)
    for _ in range(5):
        result(hooks.ask(EVENT))
    assert (sum(tally.calls.counts), tally.failures) == (5, 2)


@pytest_twisted.ensureDeferred
async def test_a_function_that_hangs_holds_up_nobody():
    release = threading.Event()
    hooks = Hooks({Stage.EHLO: [Attached("p", lambda event: release.wait(10) and None, deadline=0.05)]}, reactor)
    assert (await hooks.ask(Event(Stage.EHLO))).result == FAILURE
    release.set()
    await hooks.close()


@pytest_twisted.ensureDeferred
async def test_what_was_given_up_is_not_done_later(monkeypatch):
    from mailfw.hooks import threads

    monkeypatch.setattr(threads, "MOST", 1)
    release, done = threading.Event(), []
    hang = Attached("hang", lambda event: release.wait(10) and None, deadline=0.05)
    late = Attached("late", lambda event: done.append(event), deadline=0.05)
    after = Attached("after", lambda event: done.append(event))
    hooks = Hooks({Stage.EHLO: [hang], Stage.QUIT: [late], Stage.RSET: [after]}, reactor)
    assert (await hooks.ask(Event(Stage.EHLO))).result == FAILURE
    assert (await hooks.ask(Event(Stage.QUIT))).result == FAILURE
    monkeypatch.setattr(threads, "WAITING", 1)
    assert (await hooks.ask(Event(Stage.QUIT))).result == FAILURE
    monkeypatch.setattr(threads, "WAITING", 9)
    last = Deferred.fromCoroutine(hooks.ask(Event(Stage.RSET)))
    release.set()
    assert (await last).result == CONTINUE
    assert [event.stage for event in done] == [Stage.RSET], "its turn came after theirs"
    await hooks.close()


def test_who_holds_the_reactor_is_named(make, log):
    times = iter([0.0, 0.5])

    async def busy(event):
        return None

    result(make(busy, watchdog=Watchdog(0.0, clock=lambda: next(times))).ask(EVENT))
    assert told(log) == ["hook hook 0 held the reactor for 0.50 s"]


def test_who_does_not_let_go_is_named_while_it_lasts(make, log):
    named = threading.Event()

    def notice(event):
        if "does not let go" in str(event.get("log_format")):
            named.set()

    globalLogPublisher.addObserver(notice)

    async def stuck(event):
        assert named.wait(10)

    watchdog = Watchdog(0.02, long=100.0)
    try:
        assert result(make(stuck, watchdog=watchdog).ask(EVENT)).result == CONTINUE
    finally:
        watchdog.close()
        globalLogPublisher.removeObserver(notice)
    assert watchdog.tally.stalls == {"hook hook 0": 1}
    assert any("hook hook 0 has held the reactor" in line for line in told(log))
    assert any("in stuck: assert named.wait(10)" in line for line in told(log))
