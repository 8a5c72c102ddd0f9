"""Which shards are read, and when: every order of splits that a few steps can make."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from stator.errors import TrimmedDataAccessError, ValidationError
from stator.indexes import KeyAttribute
from stator.stream_descriptions import ShardDescription, StreamDescription, StreamStatus
from stator.stream_progress import Progress
from statorpb import streams_pb2

ARN = "arn:aws:dynamodb:local:000000000000:table/music/stream/x"
Kind = streams_pb2.StreamPosition


def stream(*shards: ShardDescription, status: StreamStatus = "ENABLED") -> StreamDescription:
    created_at = datetime(2026, 1, 1, tzinfo=UTC)
    return StreamDescription(ARN, "x", "music", status, "KEYS_ONLY", KeyAttribute("pk", "S"), None, created_at, shards)


def shard(shard_id: str, parent: str | None = None, *, closed: bool = False) -> ShardDescription:
    return ShardDescription(shard_id, "1", "9" if closed else None, parent)


def test_parents_first() -> None:
    """Those that are not there any more are not waited for."""
    progress = Progress.beginning(ARN, "oldest")
    known = stream(shard("a", "gone", closed=True), shard("b", "a"), shard("c", "a"), shard("d"))
    assert progress.learn(known).keys() == {"a", "d"}
    assert progress.learn(known) == {}
    begun = progress.finish("a")
    assert {shard_id: position.type for shard_id, position in begun.items()} == dict.fromkeys("bc", Kind.TRIM_HORIZON)
    assert progress.checkpoint() == {"stream": ARN, "start": "oldest", "shards": {}, "finished": ["a"]}
    # Once it is not there any more it need not be remembered.
    progress.learn(stream(shard("b", "a"), shard("c", "a"), shard("d")))
    assert progress.checkpoint()["finished"] == []


def test_the_latest() -> None:
    """Is asked of what is open at first, once; what comes to be later is read from its beginning."""
    progress = Progress.beginning(ARN, "latest")
    begun = progress.learn(stream(shard("a", closed=True), shard("b", "a"), shard("c", "a")))
    assert {shard_id: position.type for shard_id, position in begun.items()} == dict.fromkeys("bc", Kind.LATEST)
    progress.note("b", "5")
    with pytest.raises(ValidationError):
        progress.checkpoint()
    progress.note("c", "6")
    assert progress.checkpoint()["start"] == "oldest"
    assert not progress.note("c", "6")
    later = progress.learn(stream(shard("b", "a", closed=True), shard("c", "a"), shard("d", "b")))
    assert later == {}
    assert progress.finish("b")["d"].type == Kind.TRIM_HORIZON


def test_the_latest_of_a_stream_that_has_no_shards_yet() -> None:
    """Is all of it."""
    progress = Progress.beginning(ARN, "latest")
    assert progress.learn(stream(status="ENABLING")) == {}
    assert progress.learn(stream(shard("a")))["a"].type == Kind.TRIM_HORIZON


def test_the_end() -> None:
    """Comes when the stream is off, and everything has been read."""
    progress = Progress.beginning(ARN, "oldest")
    progress.learn(stream(shard("a", closed=True)))
    progress.finish("a")
    assert not progress.is_over
    progress.learn(stream(shard("a", closed=True), shard("b", "a", closed=True), status="DISABLED"))
    assert not progress.is_over
    progress.finish("b")
    assert progress.is_over


def test_a_shard_that_is_gone() -> None:
    """Before it was read to its end."""
    progress = Progress.beginning(ARN, "oldest")
    progress.learn(stream(shard("a")))
    progress.note("a", "5")
    with pytest.raises(TrimmedDataAccessError, match="shard a"):
        progress.learn(stream(shard("b", "a")))


@pytest.mark.parametrize("seed", range(50))
def test_any_order_of_splits_and_resumptions(seed: int) -> None:
    """Every shard is read once, after its parent, from where it was left; checkpoints stand in for all else."""
    rng = random.Random(seed)
    shards = {"0": shard("0"), "1": shard("1")}
    progress = Progress.beginning(ARN, "oldest")
    running: set[str] = set()
    finished: list[str] = []
    while len(finished) < 12:
        match rng.randrange(4):
            case 0 if len(shards) < 14:
                split = rng.choice([each for each in shards if shards[each].ending_sequence_number is None])
                shards[split] = shard(split, shards[split].parent_shard_id, closed=True)
                shards |= {f"{split}{side}": shard(f"{split}{side}", split) for side in "lr"}
            case 1:
                running |= progress.learn(stream(*shards.values())).keys()
            case 2 if running:
                read = rng.choice(sorted(running))
                if shards[read].ending_sequence_number is None:
                    progress.note(read, str(rng.randrange(1000)))
                else:
                    running.discard(read)
                    finished.append(read)
                    running |= progress.finish(read).keys()
            case 3 if rng.random() < 0.3 and running:
                before = progress.checkpoint()
                progress = Progress.beginning(ARN, before)
                begun = progress.learn(stream(*shards.values()))
                assert running <= begun.keys() and not begun.keys() & set(finished)
                for shard_id, position in begun.items():
                    assert position.sequence_number == before["shards"].get(shard_id, "")
                running = set(begun)
        if len(shards) >= 14 and not any(shards[each].ending_sequence_number for each in running):
            shards = {each: shard(each, shards[each].parent_shard_id, closed=True) for each in shards}
    assert len(set(finished)) == len(finished)
    for number, each in enumerate(finished):
        parent = shards[each].parent_shard_id
        assert parent is None or parent in finished[:number]
