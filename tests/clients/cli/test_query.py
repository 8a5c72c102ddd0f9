"""`stator query` and `stator scan`."""

import json
import shlex

import pytest
from statorpb import tables_pb2

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster


@pytest.fixture(autouse=True)
def songs(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """30 items of one artist, 1 of another, with an index by label; two in five are live."""
    table = cluster.state.add_table("songs", "artist", "year")
    index = table.description.local_indexes.add().index
    index.name = "by-label"
    index.sort_key.CopyFrom(tables_pb2.KeyAttribute(name="label", type=tables_pb2.S))
    lines = [json.dumps({"artist": "a", "year": n, "live": n % 5 < 2, "size": n * 10}) for n in range(30)]
    lines.append('{"artist": "b", "year": 1, "label": "Blue", "m": {"x": [1]}}')
    stator("import", "songs", "-", stdin="\n".join(lines))


def years(stator: CommandLine, *words: str) -> list[int]:
    return [json.loads(line)["year"] for line in stator(*words, "--output", "jsonl").out.splitlines()]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", list(range(30))),
        ("--sk 7", [7]),
        ("--sk-from 7 --sk-to 9", [7, 8, 9]),
        ("--sk-from 28", [28, 29]),
        ("--sk-to 1", [0, 1]),
        ("--sk-above 28", [29]),
        ("--sk-below 1", [0]),
        ("--sk-from 25 --desc", [29, 28, 27, 26, 25]),
        ("--limit 3", [0, 1, 2]),
        ("--filter 'live = true and size > 100'", [11, 15, 16, 20, 21, 25, 26]),
        ("--filter 'live = true' --limit 3", [0, 1, 5]),
        ("--sk-above 26 --select year", [27, 28, 29]),
        ("--sk-above 26 --consistent", [27, 28, 29]),
    ],
)
def test_queries(stator: CommandLine, words: str, found: list[int]) -> None:
    """--pk and --sk take the types of the key; everything else in any combination."""
    assert years(stator, "query", "songs", "--pk", "a", *shlex.split(words)) == found


def test_a_key_condition_as_text(stator: CommandLine) -> None:
    """With names and values as they are, reserved words among them."""
    assert years(stator, "query", "songs", "--key", 'artist = "a" and year between 3 and 5') == [3, 4, 5]


def test_an_index(stator: CommandLine) -> None:
    """Its sort key is what --sk means."""
    assert years(stator, "query", "songs", "--index", "by-label", "--pk", "b", "--sk-begins", "Bl") == [1]


def test_tables_and_json(stator: CommandLine) -> None:
    """Key first in tables, which name attributes as they are; how much was read is told apart from the items."""
    done = stator("query", "songs", "--pk", "b")
    assert done.out == 'artist  year  label  m\nb          1  Blue   {"x": [1]}\n'
    assert done.err == "1 item, 1 looked at, 1.5 rcu.\n"
    done = stator("query", "songs", "--pk", "b", "--output", "json")
    assert done.json == [{"artist": "b", "label": "Blue", "m": {"x": [1]}, "year": 1}]
    assert done.err == ""
    typed = stator("query", "songs", "--pk", "b", "--output", "jsonl", "--dynamodb-json", "--select", "year").json
    assert typed == {"year": {"N": "1"}}
    assert stator("query", "songs", "--pk", "nobody", "--output", "json").json == []
    assert stator("query", "songs", "--pk", "nobody").out == ""


@pytest.mark.parametrize("more", [[], ["--filter", "live = true"], ["--filter", "live = true", "--select", "size"]])
def test_going_on(stator: CommandLine, more: list[str]) -> None:
    """What is told at the end is where the next command goes on, until nothing is told."""
    whole = stator("query", "songs", "--pk", "a", "--output", "jsonl", *more).out
    parts, rounds = "", 0
    start: list[str] = []
    while True:
        done = stator("query", "songs", "--pk", "a", "--limit", "3", "--output", "jsonl", *more, *start)
        parts += done.out
        rounds += 1
        if not done.err:
            break
        start = shlex.split(done.err.partition("go on with ")[2])
    assert parts == whole
    assert rounds == -(-len(whole.splitlines()) // 3)


def test_counts(stator: CommandLine) -> None:
    """A bare number, or JSON."""
    assert stator("query", "songs", "--pk", "a", "--count").out == "30\n"
    assert stator("query", "songs", "--pk", "a", "--count", "--filter", "live = true", "--limit", "1").out == "12\n"
    assert stator("scan", "songs", "--count", "--output", "json").json == {"count": 31, "scanned_count": 31}


def test_scans(stator: CommandLine) -> None:
    """With filters and limits, and in segments."""
    assert len(years(stator, "scan", "songs")) == 31
    assert years(stator, "scan", "songs", "--filter", "attribute_exists(m.x[0])") == [1]
    assert len(years(stator, "scan", "songs", "--limit", "4")) == 4
    assert sorted(years(stator, "scan", "songs", "--segments", "3")) == sorted([*range(30), 1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("query songs", "--pk"),
        ("query songs --sk 1", "--pk"),
        ("query songs --pk a --key 'artist = 1'", "--pk"),
        ("query songs --key 'artist = 1' --sk 1", "--pk"),
        ("query songs --pk a --sk x", "year, which is a number"),
        ("query songs --pk a --sk 1 --sk-from 2", "only --sk-from and --sk-to"),
        ("query songs --pk a --sk-begins 1", "does not begin"),
        ("query songs --pk a --index other", "it has by-label"),
        ("query music --pk a --index other", "has no index other."),
        ("query music --pk a --sk 1", "no sort key"),
        ("query songs --pk a --filter 'a = \"'", "--filter"),
        ("query songs --pk a --select a..b", "no attribute"),
        ("query songs --pk a --start-key x", "--start-key is not JSON"),
        ("scan songs --segments 2 --limit 1", "leave --limit"),
    ],
)
def test_wrong_usage(stator: CommandLine, words: str, said: str) -> None:
    """Exit code 2, and what to write instead."""
    assert said in stator(*shlex.split(words), code=2).err


def test_what_the_server_refuses(stator: CommandLine) -> None:
    """In its own words, but with names and values as they were typed."""
    for words in (["scan", "songs"], ["scan", "songs", "--segments", "2"], ["scan", "songs", "--count"]):
        assert 'near: "size"' in stator(*words, "--filter", "a = 1 and size", code=1).err
    assert 'near: "plays"' in stator("put", "songs", '{"artist": "a", "year": 1}', "--if", "plays", code=1).err


def test_a_text_without_quotes(stator: CommandLine) -> None:
    """Finds nothing, as it is the name of an attribute; that is told."""
    hint = 'Note: Blue is an attribute in --filter; the text would be "Blue".'
    for text in ("label = Blue", "label=Blue and year > 0", "(label = Blue)"):
        assert hint in stator("scan", "songs", "--filter", text).err
    assert hint in stator("scan", "songs", "--filter", "label = Blue", "--count").err
    for text in (
        'label = "x"',
        "live = null",
        "year > size(label)",
        "year = m.x[0]",
        "year = m . x",
        "year = '= Blue'",
    ):
        assert "Note" not in stator("scan", "songs", "--filter", f"{text} and year > 99").err
