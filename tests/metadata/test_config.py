"""The metadata process's configuration: what is wrong is said in sentences, all of it at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from metadata.config import Config, MemberAddress

MEMBERS = ("1@zone-1=127.0.0.1:7001", "2@zone-2=host-2.example:7002", "3@zone-3=[::1]:7003")
GOOD = Config(name="metadata-1", zone="zone-1", node_id=1, data="data", members=MEMBERS)


def test_members() -> None:
    """Ids, zones and addresses; the own one is where the others reach this process."""
    assert GOOD.problems() == []
    assert GOOD.member_addresses() == (
        MemberAddress(1, "zone-1", "127.0.0.1:7001"),
        MemberAddress(2, "zone-2", "host-2.example:7002"),
        MemberAddress(3, "zone-3", "[::1]:7003"),
    )
    assert GOOD.own_address == "127.0.0.1:7001"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "name must not be empty."),
        ({"zone": ""}, "zone must not be empty."),
        ({"data": ""}, "data must not be empty."),
        ({"members": ()}, "members must be a list of ID@ZONE=HOST:PORT, not ''."),
        ({"members": (*MEMBERS, "x")}, f"members must be a list of ID@ZONE=HOST:PORT, not '{','.join(MEMBERS)},x'."),
        ({"members": (*MEMBERS, "1@zone-4=h:1")}, "members must have distinct ids."),
        (
            {"members": (*MEMBERS, "4@zone-1=h:1")},
            "members must be in distinct zones: the loss of one zone must leave a majority.",
        ),
        ({"members": (*MEMBERS, "4@zone-4=h:1")}, "members must be at most 3."),
        ({"node_id": 9}, "node_id 9 is not among the members."),
        ({"zone": "zone-2"}, "members has node 1 in another zone than 'zone-2'."),
        ({"listen": "nowhere"}, "listen must be host:port, not 'nowhere'."),
        ({"listen": "host:70000"}, "listen must be host:port, not 'host:70000'."),
        ({"lease_ms": 900}, "lease_ms must be at least twice heartbeat_ms, and heartbeat_ms at least 10."),
        ({"clock_drift_ppm": -1}, "clock_drift_ppm must be at least 0 and below 500000."),
        ({"wal_segment_bytes": 1}, "wal_segment_bytes must be at least 4 MiB."),
        ({"snapshot_every": 0}, "snapshot_every must be at least 1."),
        ({"node_silence_ms": 500}, "node_silence_ms must be at least 1000: nodes report every 500 ms."),
        ({"stream_retention_s": 0}, "stream_retention_s must be at least 1 and at most 31536000, a year."),
        ({"stream_retention_s": 10**17}, "stream_retention_s must be at least 1 and at most 31536000, a year."),
        ({"log_level": "loud"}, "log_level must be debug, info, warning or error, not 'loud'."),
        ({"log_format": "xml"}, "log_format must be console or json, not 'xml'."),
    ],
)
def test_problems(change: dict[str, Any], sentence: str) -> None:
    """Each problem has its sentence."""
    assert sentence in dataclasses.replace(GOOD, **change).problems()


def test_no_members_at_all() -> None:
    """There is no own address then, and the sentence on members says it."""
    assert dataclasses.replace(GOOD, members=()).own_address == ""
