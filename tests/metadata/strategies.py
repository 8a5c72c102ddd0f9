"""Commands to the catalog, as Hypothesis draws them: few names and ids, so that they meet."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from metadata.catalog.commands import (
    ActivateIndex,
    ActivateTable,
    AdoptMembers,
    Command,
    CreateTable,
    CreateUser,
    DeleteTable,
    DisableStream,
    DisableUser,
    DrainNode,
    EnableStream,
    FoundCluster,
    IndexUpdate,
    MemberReplaced,
    NoteFloor,
    OpenIndex,
    PartitionsDropped,
    PlannedIndex,
    PlannedPartition,
    PromoteMember,
    RegisterNode,
    RemoveIndex,
    RemoveNode,
    RemoveStream,
    RemoveTable,
    ReplaceMember,
    Shard,
    TagTable,
    UntagTable,
    UpdateTable,
    UpdateTimeToLive,
    WithdrawMember,
)
from metadata.catalog.settings import TableSettings
from server.model.partition_map import even_starts
from server.model.table import PROJECTION_TYPES, TABLE_CLASSES, GlobalIndex, KeyAttribute, KeySchema, LocalIndex
from server.paxos.ballot import Ballot
from server.paxos.quorum import Floor

_NAMES = st.sampled_from(["music", "films", "books"])
_USERS = st.sampled_from(["ann", "bob"])
_NODE_IDS = st.integers(1, 4)
_PARTITION_IDS = st.integers(100, 106)
_FLOORS = st.builds(Floor, st.integers(0, 9), st.builds(Ballot, st.integers(0, 9), _NODE_IDS))
_UNITS = st.integers(0, 2**40)
_ATTRIBUTES = st.builds(KeyAttribute, st.sampled_from(["a", "b"]), st.sampled_from(["S", "N", "B"]))
_TIMES = st.integers(0, 2**47)
_TAGS = st.lists(st.tuples(_NAMES, st.text(max_size=3)), max_size=3, unique_by=lambda tag: tag[0]).map(tuple)
_SETTINGS = st.builds(
    TableSettings,
    _UNITS,
    _UNITS,
    _TIMES,
    _TIMES,
    st.integers(0, 9),
    st.lists(_TIMES, max_size=4).map(tuple),
    _UNITS,
    _UNITS,
    _UNITS,
    _UNITS,
    st.sampled_from(TABLE_CLASSES),
    st.lists(_TIMES, max_size=2).map(tuple),
    st.booleans(),
    _TAGS.map(lambda tags: tuple(sorted(tags))),
    st.sampled_from(["", "until"]),
    _TIMES,
)
_INDEXES = st.lists(
    st.builds(
        LocalIndex,
        st.integers(1, 5),
        _NAMES,
        _ATTRIBUTES,
        st.sampled_from(PROJECTION_TYPES),
        st.lists(_NAMES, max_size=2).map(tuple),
    ),
    max_size=2,
).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> tuple[PlannedPartition, ...]:
    """Partitions as placement plans them."""
    starts = [*even_starts(draw(st.integers(1, 3))), b""]
    nodes = st.lists(_NODE_IDS, min_size=3, max_size=3, unique=True).map(tuple)
    return tuple(PlannedPartition(start, end, draw(nodes)) for start, end in itertools.pairwise(starts))


_INDEX_NAMES = st.sampled_from(["by-c", "by-d"])
_INDEX_KEYS = st.permutations((KeyAttribute("c", "S"), KeyAttribute("d", "N")))
_DEFINITIONS = st.builds(
    lambda name, keys, count, projection: GlobalIndex(0, name, tuple(keys[:1]), tuple(keys[1:count]), projection),
    _INDEX_NAMES,
    _INDEX_KEYS,
    st.integers(1, 2),
    st.sampled_from(PROJECTION_TYPES),
)
_PLANNED_INDEXES = st.builds(PlannedIndex, _DEFINITIONS, _SETTINGS, plans())
_LIMITS = st.integers(-1, 2**40)
_INDEX_UPDATES = st.builds(IndexUpdate, _INDEX_NAMES, _UNITS, _UNITS, _LIMITS, _LIMITS, _UNITS, _UNITS)
_VIEW_TYPES = st.sampled_from(["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
_STREAM_NUMBERS = st.integers(2, 4)
_SHARDS = st.builds(
    lambda first, count, sequences: tuple(Shard(first + each, *sequences) for each in range(count)),
    _PARTITION_IDS,
    st.integers(1, 3),
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
)


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(FoundCluster, st.sampled_from(["one", "two"])),
    st.builds(ReplaceMember, _PARTITION_IDS, _NODE_IDS, _NODE_IDS, _FLOORS),
    st.builds(NoteFloor, _PARTITION_IDS, _FLOORS),
    st.builds(MemberReplaced, _PARTITION_IDS, _NODE_IDS, _FLOORS),
    st.builds(WithdrawMember, _PARTITION_IDS, _NODE_IDS, _NODE_IDS, _NODE_IDS, _FLOORS),
    st.builds(
        AdoptMembers, _PARTITION_IDS, st.permutations((1, 2, 3, 4)).map(lambda ids: tuple(ids[:3])), _NODE_IDS, _FLOORS
    ),
    st.builds(PromoteMember, _PARTITION_IDS, _NODE_IDS),
    st.builds(DrainNode, st.sampled_from(["storage-1", "storage-2"]), st.booleans()),
    st.builds(RemoveNode, st.sampled_from(["storage-1", "storage-2"])),
    st.builds(
        RegisterNode,
        st.sampled_from(["storage-1", "storage-2"]),
        st.sampled_from(["zone-1", "zone-2"]),
        st.sampled_from(["host:1", "host:2"]),
        st.sampled_from(["folder-1", "folder-2"]),
    ),
    st.builds(
        CreateTable,
        _NAMES,
        st.builds(KeySchema, _ATTRIBUTES, st.none() | _ATTRIBUTES),
        _SETTINGS,
        st.uuids().map(str),
        st.integers(0, 2**50),
        plans(),
        _INDEXES,
        st.lists(_PLANNED_INDEXES, max_size=2).map(tuple),
        st.just("") | _VIEW_TYPES,
    ),
    st.builds(EnableStream, _STREAM_NUMBERS, _SHARDS),
    st.builds(DisableStream, _STREAM_NUMBERS, _SHARDS, _TIMES),
    st.builds(RemoveStream, _STREAM_NUMBERS),
    st.builds(OpenIndex, st.integers(1, 6)),
    st.builds(ActivateIndex, st.integers(1, 6)),
    st.builds(RemoveIndex, st.integers(1, 6)),
    st.builds(ActivateTable, st.integers(1, 4)),
    st.builds(DeleteTable, _NAMES),
    st.builds(
        UpdateTable,
        _NAMES,
        _TIMES,
        st.sampled_from(["", "PROVISIONED", "PAY_PER_REQUEST"]),
        _UNITS,
        _UNITS,
        st.integers(-1, 2**40),
        st.integers(-1, 2**40),
        _UNITS,
        _UNITS,
        st.sampled_from(["", *TABLE_CLASSES]),
        st.sampled_from([None, False, True]),
        st.none() | _PLANNED_INDEXES,
        st.just("") | _INDEX_NAMES,
        st.lists(_INDEX_UPDATES, max_size=2).map(tuple),
        st.none() | st.just("") | _VIEW_TYPES,
    ),
    st.builds(TagTable, _NAMES, _TAGS),
    st.builds(UntagTable, _NAMES, st.lists(_NAMES, max_size=3).map(tuple)),
    st.builds(UpdateTimeToLive, _NAMES, _TIMES, _NAMES, st.booleans()),
    st.builds(
        RemoveTable,
        st.integers(1, 4),
        st.lists(
            st.tuples(_PARTITION_IDS, st.lists(_NODE_IDS, max_size=3, unique=True).map(tuple)),
            max_size=3,
            unique_by=lambda pair: pair[0],
        ).map(tuple),
    ),
    st.builds(CreateUser, _USERS, st.sampled_from(["AKIA1", "AKIA2"]), st.binary(max_size=3), st.integers(0, 2**50)),
    st.builds(DisableUser, _USERS),
    st.builds(PartitionsDropped, _NODE_IDS, st.lists(_PARTITION_IDS, max_size=3).map(tuple)),
)
