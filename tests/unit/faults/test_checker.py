"""The checker finds nothing in a run that was right, and each thing that can be wrong with one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from tests.faults import jars
from tests.faults.consumed import Record
from tests.faults.evidence import BoardRows, ConsumerRows, Evidence, LedgerRows, Watermark
from tests.faults.history import Injected
from tests.unit.faults.worlds import NAMES, World, in_ledger, on_topic

from govevents.document import hash_of


@pytest.fixture
def world() -> World:
    """A jar under a policy, three coins, one refused, one that came too late, all tallied and rewarded."""
    made = World()
    policy = made.do("open_policy", largest=9)
    jar = made.do("open_jar", limit=3, policy=str(policy), rings_in_ms=500)
    for name in ("ana", "bo", "cy"):
        made.do("add_coin", jar, by=name, amount=3)
    made.do("add_coin", jar, by="dee", amount=3)
    made.read(jar)
    made.do("change_policy", policy, if_match=1, largest=5)
    made.do("close_jar", jar, reason="full")
    made.do("close_jar", jar, reason="again")
    made.ring(jar)
    made.react()
    return made


def jar_of(world: World) -> UUID:
    return next(each.stream for each in world.documents["jars"] if each.type == "jars.JarOpened")


def policy_of(world: World) -> UUID:
    return next(each.stream for each in world.documents["jars"] if each.type == "jars.PolicyOpened")


def test_a_run_that_was_right_is_found_right(world: World) -> None:
    assert world.findings() == []


def test_an_unknown_outcome_may_have_been_done_or_not(world: World) -> None:
    jar = world.do("open_jar", limit=3, policy=str(policy_of(world)), rings_in_ms=0)
    done, undone = world.ask("add_coin", jar, by="ana", amount=1), world.ask("add_coin", jar, by="bo", amount=1)
    world.answer(done, None)
    world.answer(undone, None)
    row = world.done(done)
    world.ring(jar)
    world.react()
    assert world.rules() == {"every_question_has_an_answer"}, "both have to be asked again"
    world.invoke(done, 2)
    world.told(done, row, attempt=2)
    world.invoke(undone, 2)
    world.told(undone, world.done(undone), attempt=2)
    world.react()
    assert world.findings() == []


def test_an_acknowledged_command_that_is_not_there_is_lost(world: World) -> None:
    jar = world.do("open_jar", limit=3, policy=str(policy_of(world)), rings_in_ms=0)
    asked = world.ask("add_coin", jar, by="eve", amount=1)
    event = {"id": f"{jar}@2", "type": "jars.CoinAdded"}
    world.answer(asked, 200, {"stream": str(jar), "version": 2, "events": [event]}, version=2)
    assert "what_was_acknowledged_is_in_the_ledger" in world.rules()


def test_a_command_that_is_there_twice_is_doubled(world: World) -> None:
    jar = jar_of(world)
    first = world.commands["jars"][2]
    command = jars.AddCoin("ana-again", 1, policy_of(world), 1, jars.Policy(9))
    world.append(
        "jars",
        replace(jars.JAR, decide=lambda *_: (jars.CoinAdded("x", 1, command.policy, 1),)),
        jar,
        first.command,
        command,
    )
    assert "every_command_is_once_in_the_ledger" in world.rules()


def test_a_command_without_a_row_is_found(world: World) -> None:
    gone = in_ledger("jars", lambda rows: replace(rows, commands=rows.commands[1:]))
    assert "every_command_is_once_in_the_ledger" in world.rules(gone)


def test_a_hole_in_a_stream_is_found(world: World) -> None:
    jar = jar_of(world)
    hole = in_ledger(
        "jars",
        lambda rows: replace(rows, events=tuple(row for row in rows.events if (row.stream, row.version) != (jar, 3))),
    )
    assert "streams_are_chained" in world.rules(hole)


def test_a_document_that_is_not_what_was_hashed_is_found(world: World) -> None:
    def forged(rows: LedgerRows) -> LedgerRows:
        first, *rest = rows.events
        return replace(rows, events=(replace(first, hash=bytes(32)), *rest))

    assert "streams_are_chained" in world.rules(in_ledger("jars", forged))


def test_times_that_go_back_are_found(world: World) -> None:
    world.at -= 100
    world.do("change_policy", policy_of(world), if_match=2, largest=6)
    assert "streams_are_chained" in world.rules()


def test_one_key_with_two_answers_is_found(world: World) -> None:
    asked = world.ask("close_policy", policy_of(world), reason="done")
    row = world.done(asked)
    world.told(asked, row)
    world.invoke(asked, 2)
    world.told(asked, replace(row, from_version=3), attempt=2)
    assert "one_key_has_one_answer" in world.rules()


def test_what_was_done_and_told_to_be_stale_is_found(world: World) -> None:
    policy = policy_of(world)
    asked = world.ask("change_policy", policy, if_match=2, largest=6)
    world.invoke(asked, 2)
    world.told(asked, world.done(asked))
    world.answer(asked, 412, {"facts": {"current_version": "3"}}, version=3, attempt=2)
    assert world.rules() == {"one_key_has_one_answer"}


def test_a_key_that_another_request_may_use_is_found(world: World) -> None:
    other = world.ask("close_jar", jar_of(world), reuses=9, reason="other")
    body = {"stream": str(jar_of(world)), "version": 6, "events": []}
    world.answer(other, 200, body, version=6)
    assert world.rules() == {"one_key_has_one_answer"}


def test_if_match_that_was_not_looked_at_is_found(world: World) -> None:
    world.do("change_policy", policy_of(world), if_match=1, largest=7)
    assert "what_was_acknowledged_is_in_the_ledger" in world.rules()


def test_a_decision_on_a_state_that_was_known_to_be_old_is_found(world: World) -> None:
    jar = jar_of(world)
    asked = world.ask("close_jar", jar, reason="once more")
    row = replace(world.done(asked), from_version=3, to_version=3)
    world.commands["jars"][-1] = row
    world.told(asked, row)
    assert "answers_respect_real_time" in world.rules()


def test_a_refusal_that_did_not_hold_is_found(world: World) -> None:
    jar = world.do("open_jar", limit=3, policy=str(policy_of(world)), rings_in_ms=0)
    asked = world.ask("add_coin", jar, by="eve", amount=1)
    world.commands["jars"].append(
        replace(
            world.commands["jars"][-1], command=world.command_of(asked), from_version=1, status=409, refusal="jar-full"
        )
    )
    world.answer(asked, 409, {"type": "urn:gatehouse:problem:jar-full"})
    world.ring(jar)
    world.react()
    assert world.rules() == {"refusals_hold"}


def test_a_coin_that_is_told_to_be_there_and_is_not_is_found(world: World) -> None:
    jar = world.do("open_jar", limit=3, policy=str(policy_of(world)), rings_in_ms=0)
    asked = world.ask("add_coin", jar, by="eve", amount=1)
    row = replace(world.commands["jars"][-1], command=world.command_of(asked), from_version=1, status=200)
    world.commands["jars"].append(row)
    world.told(asked, row)
    world.ring(jar)
    world.react()
    assert world.rules() == {"what_adds_nothing_had_been_done"}


def test_a_conflict_that_was_none_is_found(world: World) -> None:
    asked = world.ask("change_policy", policy_of(world), if_match=2, largest=6)
    world.answer(asked, 412, {"facts": {"current_version": "2"}}, version=2)
    assert world.rules() == {"refusals_hold"}


def test_a_stream_that_was_told_to_be_there_can_not_be_unknown(world: World) -> None:
    asked = world.ask("close_policy", policy_of(world), reason="done")
    world.answer(asked, 404, {"type": "urn:gatehouse:problem:not-found"})
    assert world.rules() == {"refusals_hold"}


def test_a_fault_of_the_program_is_no_answer(world: World) -> None:
    asked = world.ask("close_policy", policy_of(world), reason="done")
    world.answer(asked, 500, {"type": "urn:gatehouse:problem:unexpected"})
    assert world.rules() == {"every_question_has_an_answer"}


def test_a_read_of_the_past_is_found(world: World) -> None:
    asked = world.ask("get_jar", jar_of(world))
    body = {"coins": ["ana"], "total": 3, "closed": False, "rung": 0, "rewards": 0}
    world.answer(asked, 200, body, version=2)
    assert world.rules() == {"reads_hold"}


def test_an_event_that_the_model_would_not_have_made_is_found(world: World) -> None:
    asked = world.ask("add_coin", jar_of(world), by="late", amount=1)
    shut_or_not = replace(jars.JAR, decide=lambda *_: (jars.CoinAdded("late", 1, policy_of(world), 2),))
    world.told(asked, world.append("jars", shut_or_not, jar_of(world), world.command_of(asked), None))
    world.react()
    assert "the_model_explains_every_event" in world.rules()


def test_an_event_that_nobody_asked_for_is_found(world: World) -> None:
    world.append("jars", jars.POLICY, uuid4(), uuid4(), jars.OpenPolicy(3))
    world.react()
    assert world.rules() == {"the_model_explains_every_event"}


def test_a_policy_that_moved_under_a_coin_is_found(world: World) -> None:
    """The change of the policy was written before the coin that relied on the version before it."""

    def earlier(rows: LedgerRows) -> LedgerRows:
        events = [
            replace(row, seq=3) if row.type == "jars.PolicyChanged" else replace(row, seq=row.seq * 10)
            for row in rows.events
        ]
        return replace(rows, events=tuple(events))

    assert world.rules(in_ledger("jars", earlier)) == {"what_was_relied_on_had_not_moved"}


def test_a_recorded_time_that_can_not_be_is_found(world: World) -> None:
    asked = world.ask("close_policy", policy_of(world), reason="done")
    world.at += 20
    row = world.done(asked)
    world.at -= 20
    world.told(asked, row)
    assert world.rules() == {"recorded_times_are_true"}


def test_an_event_that_is_not_on_its_topic_is_found(world: World) -> None:
    assert "topics_are_complete" in world.rules(on_topic(NAMES.jars, lambda records: records[:-1]))


def test_events_in_another_order_are_found(world: World) -> None:
    def swapped(records: tuple[Record, ...]) -> tuple[Record, ...]:
        jar = str(jar_of(world)).encode()
        mine = [record for record in records if record.key == jar]
        first, second = mine[1], mine[2]
        exchange = {first.offset: second.value, second.offset: first.value}
        return tuple(replace(record, value=exchange.get(record.offset, record.value)) for record in records)

    assert "topics_follow_ledgers" in world.rules(on_topic(NAMES.jars, swapped))


def test_an_event_under_another_key_is_found(world: World) -> None:
    def rekeyed(records: tuple[Record, ...]) -> tuple[Record, ...]:
        return (replace(records[0], key=str(uuid4()).encode()), *records[1:])

    assert "topics_follow_ledgers" in world.rules(on_topic(NAMES.jars, rekeyed))


def test_a_record_that_nobody_sent_is_found_unless_it_was_injected(world: World) -> None:
    key, value = str(uuid4()).encode(), b"poison"

    def poisoned(evidence: Evidence) -> Evidence:
        more = Record(0, 10_000, key, value)
        evidence = on_topic(NAMES.jars, lambda records: (*records, more))(evidence)
        return parked_too(evidence, (0, 10_000))

    assert world.rules(poisoned) == {"topics_follow_ledgers"}
    world.entries.append(Injected(world.at, NAMES.jars, "poison", key, hash_of(value).hex()))
    assert world.findings(poisoned) == []


def parked_too(evidence: Evidence, place: tuple[int, int]) -> Evidence:
    """Let every consumer of jars have parked a record."""
    consumers = {
        kind: {
            name: replace(rows, parked={**rows.parked, place: "poison"}) if reads_jars(name) else rows
            for name, rows in of_service.items()
        }
        for kind, of_service in evidence.consumers.items()
    }
    return replace(evidence, consumers=consumers)


def reads_jars(consumer: str) -> bool:
    return consumer.startswith("jar_board") or consumer.endswith(f"reactions.{NAMES.jars}")


def test_a_repeated_record_is_no_fault(world: World) -> None:
    def repeated(records: tuple[Record, ...]) -> tuple[Record, ...]:
        return (*records, *(replace(record, offset=record.offset + 1000) for record in reversed(records)))

    assert world.findings(on_topic(NAMES.jars, repeated)) == []


def test_a_watermark_that_speaks_of_what_was_not_sent_yet_is_found(world: World) -> None:
    def marked(*, later: int) -> Callable[[Evidence], Evidence]:
        """A watermark that names the end of each partition, `later` seconds after half of the events."""

        def mark(evidence: Evidence) -> Evidence:
            sent = evidence.topics[NAMES.jars][:4]
            offsets = {record.partition: record.offset for record in sent}
            until = evidence.ledgers["jars"].events[4].recorded_at + timedelta(seconds=later)
            return replace(evidence, watermarks=(Watermark(NAMES.jars, until, offsets),))

        return mark

    assert world.findings(marked(later=0)) == []
    assert world.rules(marked(later=1)) == {"watermarks_tell_the_truth"}


def test_a_reaction_that_did_not_come_is_found(world: World) -> None:
    world.do("open_policy", largest=4)
    assert "reactions_come_once" in world.rules()


def test_a_reaction_that_came_twice_is_found(world: World) -> None:
    jar, reward = jar_of(world), world.stream("jars", jar_of(world))[-1]
    assert isinstance(reward.event, jars.JarRewarded)
    cause = reward.envelope.causationid
    world.append("jars", jars.JAR, jar, uuid4(), jars.RewardJar(str(cause)), cause=cause)
    assert world.rules() == {"reactions_come_once"}


def test_a_reaction_before_its_cause_is_found(world: World) -> None:
    world.do("open_policy", largest=4)
    world.at -= 50
    world.react()
    assert world.rules() == {"what_is_caused_is_not_earlier"}


def test_a_timer_that_rang_twice_early_or_never_is_found(world: World) -> None:
    policy = policy_of(world)
    twice = world.do("open_jar", limit=3, policy=str(policy), rings_in_ms=0)
    world.ring(twice)
    cause = f"{twice}@1"
    world.append("jars", jars.JAR, twice, uuid4(), jars.Ring(jars.RING), cause=cause)
    early = world.do("open_jar", limit=3, policy=str(policy), rings_in_ms=60_000)
    world.ring(early)
    never = world.do("open_jar", limit=3, policy=str(policy), rings_in_ms=0)
    world.react()
    told = [finding.text for finding in world.findings() if finding.rule == "timers_ring_once"]
    assert {each.split(" ")[1] for each in told} == {str(each) for each in (twice, early, never)}


def test_a_timer_that_still_waits_is_found(world: World) -> None:
    waiting = in_ledger("jars", lambda rows: replace(rows, timers=1))
    assert world.rules(waiting) == {"timers_ring_once"}


def test_a_consumer_that_stands_elsewhere_is_found(world: World) -> None:
    def behind(evidence: Evidence) -> Evidence:
        boards = dict(evidence.consumers["jars"])
        guards = dict(boards["jar_board/1"].guards)
        del guards[jar_of(world)]
        boards["jar_board/1"] = replace(boards["jar_board/1"], guards=guards)
        return replace(evidence, consumers={**evidence.consumers, "jars": boards})

    assert world.rules(behind) == {"consumers_stand_where_their_topics_end"}


def test_parking_what_is_no_poison_is_found(world: World) -> None:
    assert world.rules(lambda evidence: parked_too(evidence, (3, 3))) == {"consumers_stand_where_their_topics_end"}


def test_a_consumer_that_was_never_there_is_found(world: World) -> None:
    def without(evidence: Evidence) -> Evidence:
        kept: dict[str, ConsumerRows] = {
            name: rows for name, rows in evidence.consumers["jars"].items() if not name.startswith("mint_board")
        }
        return replace(evidence, consumers={**evidence.consumers, "jars": kept})

    assert world.rules(without) == {"consumers_stand_where_their_topics_end"}


@pytest.mark.parametrize("part", ["rows", "history"])
def test_a_read_model_that_differs_from_a_replay_is_found(world: World, part: str) -> None:
    def differs(evidence: Evidence) -> Evidence:
        board = evidence.boards["tally_board" if part == "rows" else "jar_board"]
        lines = tuple(line.replace("3", "4", 1) for line in getattr(board, part))
        other: BoardRows = replace(board, **{part: lines})
        name = "tally_board" if part == "rows" else "jar_board"
        return replace(evidence, boards={**evidence.boards, name: other})

    assert world.rules(differs) == {"read_models_equal_a_replay"}
