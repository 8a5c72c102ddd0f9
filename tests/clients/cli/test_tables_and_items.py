"""`stator table`, `put`, `get`, `delete`, `cluster`."""

import pytest

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster


def test_a_table_from_creation_to_deletion(stator: CommandLine) -> None:
    """Each command shows what it did, for people and as JSON."""
    made = stator(
        *("table", "create", "films", "--partition-key", "title:S", "--sort-key", "year:N"),
        *("--partitions", "3", "--rcu", "10", "--wcu", "5", "--output", "json"),
    ).json
    assert (made["name"], made["status"], made["partitions"]) == ("films", "ACTIVE", 3)
    assert made["sort_key"] == {"name": "year", "type": "N"}
    assert "title (S)" in stator("table", "describe", "films").out
    assert stator("table", "list", "--output", "json").json == ["films", "music"]
    assert stator("table", "list").out.split() == ["films", "music"]
    assert "ResourceInUseException" in stator("table", "create", "films", "--partition-key", "a:S", code=1).err
    stator("table", "delete", "films")
    assert "films not found" in stator("table", "describe", "films", code=1).err


def test_indexes_and_settings(stator: CommandLine) -> None:
    """A table is made with them; they are shown, and changed."""
    made = stator(
        *("table", "create", "films", "--partition-key", "title:S", "--sort-key", "year:N"),
        *("--local-index", "by-studio:studio:S", "--local-index", "by-rank:rank:N:INCLUDE=title,cast"),
        *("--local-index", "keys:rank:N:KEYS_ONLY", "--local-index", "whole:rank:N:ALL"),
        *("--max-rcu", "7", "--infrequent-access", "--deletion-protection", "--tag", "stage=test", "--tag", "note="),
        *("--output", "json"),
    ).json
    assert [(each["name"], each["projection"], each["non_key_attributes"]) for each in made["local_indexes"]] == [
        ("by-studio", "ALL", []),
        ("by-rank", "INCLUDE", ["title", "cast"]),
        ("keys", "KEYS_ONLY", []),
        ("whole", "ALL", []),
    ]
    assert (made["table_class"], made["deletion_protection"]) == ("STANDARD_INFREQUENT_ACCESS", True)
    assert made["max_read_request_units"] == 7
    text = stator("table", "describe", "films").out
    for words in ("by-rank", "INCLUDE title, cast", "at most 7 reads a second", "tag stage", "STANDARD_INFREQUENT"):
        assert words in text
    updated = stator(
        *("table", "update", "films", "--rcu", "3", "--wcu", "4", "--no-deletion-protection"),
        *("--no-infrequent-access", "--output", "json"),
    ).json
    assert (updated["read_capacity_units"], updated["deletion_protection"]) == (3, False)
    assert (updated["table_class"], updated["tags"]) == ("STANDARD", {"note": "", "stage": "test"})
    assert stator("table", "update", "films", "--on-demand", "--output", "json").json["read_capacity_units"] is None
    document = stator("table", "limits", "--output", "json").json
    assert document["account_max_read_capacity_units"] == 4
    assert "account_max" in stator("table", "limits").out


def test_tags_and_expiry(stator: CommandLine) -> None:
    """Both are shown after what was asked for has been done."""
    tags = stator("table", "tags", "music", "--set", "a=1", "--set", "b=x=y", "--output", "json").json
    assert tags == {"a": "1", "b": "x=y"}
    text = stator("table", "tags", "music", "--remove", "a").out
    assert "x=y" in text and "1" not in text
    assert "Items do not expire." in stator("table", "ttl", "music").out
    assert "Items expire by until." in stator("table", "ttl", "music", "--enable", "until").out
    assert stator("table", "describe", "music", "--output", "json").json["time_to_live"] == "until"
    assert "items expire by" in stator("table", "describe", "music").out
    assert stator("table", "ttl", "music", "--disable", "--output", "json").json == {"attribute": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "films", "--partition-key", "t:S", "--local-index", "by-x"],
        ["create", "films", "--partition-key", "t:S", "--local-index", "by-x:x:Q"],
        ["create", "films", "--partition-key", "t:S", "--local-index", "by-x:x:S:SOME"],
        ["create", "films", "--partition-key", "t:S", "--local-index", "by-x:x:S:INCLUDE"],
        ["create", "films", "--partition-key", "t:S", "--local-index", "by-x:x:S:ALL=a"],
        ["create", "films", "--partition-key", "t:S", "--tag", "stage"],
        ["update", "music", "--rcu", "3"],
        ["update", "music", "--rcu", "3", "--wcu", "3", "--on-demand"],
        ["tags", "music", "--set", "=x"],
        ["ttl", "music", "--enable", "a", "--disable"],
    ],
    ids=" ".join,
)
def test_settings_that_cannot_be(stator: CommandLine, arguments: list[str]) -> None:
    """Likewise."""
    stator("table", *arguments, code=2)


def test_no_tables(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """An empty list says what to do."""
    cluster.state.tables.clear()
    assert "stator table create" in stator("table", "list").out


@pytest.mark.parametrize(
    "options", [["--partition-key", "title"], ["--partition-key", "t:X"], ["--partition-key", "t:S", "--rcu", "5"]]
)
def test_a_table_that_cannot_be(stator: CommandLine, options: list[str]) -> None:
    """Mistakes on the command line end with 2."""
    stator("table", "create", "films", *options, code=2)


def test_items(stator: CommandLine) -> None:
    """Written, read with exact numbers, deleted; reading what is not there ends with 4."""
    stator("put", "music", '{"pk": "a", "n": 12345678901234567890.125, "list": [1, null, true]}')
    text = stator("get", "music", '{"pk": "a"}', "--consistent").out
    assert '"n": 12345678901234567890.125' in text
    stator("put", "music", "-", stdin='{"pk": "b"}')
    assert stator("get", "music", '{"pk": "b"}').json == {"pk": "b"}
    stator("delete", "music", '{"pk": "a"}')
    assert "no such item" in stator("get", "music", '{"pk": "a"}', code=4).err


def test_typed_items(stator: CommandLine) -> None:
    """With --dynamodb-json every type passes in and out."""
    typed = (
        '{"pk": {"S": "t"}, "b": {"B": "AQI="}, "ss": {"SS": ["x", "y"]}, "ns": {"NS": ["1", "2.5"]}, '
        '"bs": {"BS": ["AQ=="]}, "m": {"M": {"l": {"L": [{"NULL": true}, {"BOOL": false}]}}}}'
    )
    import json

    stator("put", "music", typed, "--dynamodb-json")
    assert stator("get", "music", '{"pk": {"S": "t"}}', "--dynamodb-json").json == json.loads(typed)
    plain = stator("get", "music", '{"pk": "t"}').json
    assert (plain["b"], plain["ss"], plain["ns"]) == ("AQI=", ["x", "y"], [1, 2.5])


@pytest.mark.parametrize(
    ("item", "options", "words"),
    [
        ('{"pk": ', [], "not JSON"),
        ("[]", [], "must be a JSON object"),
        ('{"pk": NaN}', [], "NaN"),
        ('{"pk": "a"}', ["--dynamodb-json"], "attribute 'pk'"),
        ('{"pk": {"Z": "a"}}', ["--dynamodb-json"], "'Z' is not a type"),
        ('{"pk": {"N": "x"}}', ["--dynamodb-json"], "cannot be 'x': it must be a number"),
        ('{"pk": {"N": "1_000"}}', ["--dynamodb-json"], "it must be a number"),
        ('{"pk": {"SS": ["a", "a"]}}', ["--dynamodb-json"], "each element once"),
        ('{"pk": {"NS": ["1", "1.0"]}}', ["--dynamodb-json"], "each element once"),
        ('{"pk": ' + "[" * 30_000, [], "nested too deeply"),
        ('{"pk": ' + '{"L": [' * 5_000 + "]}" * 5_000 + "}", ["--dynamodb-json"], "nested too deeply"),
        ('{"pk": {"B": "?"}}', ["--dynamodb-json"], "cannot be '?'"),
        ('{"pk": {"BOOL": "yes"}}', ["--dynamodb-json"], "true or false"),
    ],
)
def test_items_that_cannot_be_read(stator: CommandLine, item: str, options: list[str], words: str) -> None:
    """Exit code 2 and the place of the mistake."""
    assert words in stator("put", "music", item, *options, code=2).err


def test_a_command_line_that_is_not_utf_8(stator: CommandLine) -> None:
    """The shell hands over half a surrogate pair for each byte of it."""
    assert "UTF-8" in stator("put", "m\udcff", '{"pk": "a"}', code=2).err


def test_attributes_are_shown_by_name(stator: CommandLine) -> None:
    """The order in which an item was written or came back does not show."""
    stator("put", "music", '{"pk": "o", "b": 1, "c": 2, "a": 3}')
    assert list(stator("get", "music", '{"pk": "o"}').json) == ["a", "b", "c", "pk"]


def test_what_the_server_refuses(stator: CommandLine) -> None:
    """Exit code 1 and DynamoDB's name of the error."""
    assert "(ValidationException)" in stator("put", "music", '{"other": "a"}', code=1).err
    assert "(ResourceNotFoundException)" in stator("get", "films", '{"pk": "a"}', code=1).err


SONG = '{"pk": "a"}'


def test_conditions(stator: CommandLine) -> None:
    """What does not hold ends with 5, and says what is there instead."""
    stator("put", "music", '{"pk": "a", "plays": 1}', "--if-absent")
    done = stator("put", "music", SONG, "--if-absent", code=5)
    assert done.err == 'error: the condition does not hold: the item is {"pk": "a", "plays": 1}.\n'
    done = stator("delete", "music", '{"pk": "b"}', "--if", "plays > 0", code=5)
    assert done.err == "error: the condition does not hold: there is no such item.\n"
    assert stator("put", "music", SONG, "--if", "plays = 1", "--return-old").json == {"pk": "a", "plays": 1}
    assert stator("delete", "music", SONG, "--if", "attribute_not_exists(plays)", "--return-old").json == {"pk": "a"}
    assert stator("delete", "music", SONG, "--return-old").out == ""


def test_updates(stator: CommandLine) -> None:
    """Every kind of change; values are JSON or text; the new item is printed unless something else was asked for."""
    words = ["update", "music", "--pk", "a"]
    more = ["--set", "title=Feeling Good", "--set", "zip=08001", "--set", 'm={"a": [1]}', "--set", 'digits="1"']
    done = stator(*words, *more, "--add", "plays=2", "--add", 'tags=["x", "y"]', "--set-if-absent", "n=1.50")
    assert done.json == {
        "digits": "1",
        "m": {"a": [1]},
        "n": 1.5,
        "pk": "a",
        "plays": 2,
        "tags": ["x", "y"],
        "title": "Feeling Good",
        "zip": "08001",
    }
    done = stator(*words, "--remove", "m.a[0]", "--remove", "zip", "--delete", 'tags=["x"]')
    assert "zip" not in done.json
    assert (done.json["m"], done.json["tags"]) == ({"a": []}, ["y"])
    text = "SET plays = plays + 1, digits = :digits".replace(":digits", '"2"')
    assert stator(*words, "--expression", text, "--return", "updated-old").json == {"digits": "1", "plays": 2}
    assert stator(*words, "--set", "n=1", "--if", 'plays = 3 and tags = {"SS": ["y"]}', "--return", "none").out == ""
    typed = ["--set", 'b={"B": "AQ=="}', "--dynamodb-json", "--return", "updated-new"]
    assert stator("update", "music", '{"pk": {"S": "a"}}', *typed).json == {"b": {"B": "AQ=="}}
    stator(*words, "--set", "n=2", "--if", "plays > 99", code=5)


def test_keys_by_their_values(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """--pk and --sk take the types of the key."""
    cluster.state.add_table("songs", "artist", "year")
    stator("put", "songs", '{"artist": "1", "year": 2, "title": "x"}')
    assert stator("get", "songs", "--pk", "1", "--sk", "2", "--select", "title, year").json == {"title": "x", "year": 2}
    stator("delete", "songs", "--pk", "1", "--sk", "2")
    stator("get", "songs", "--pk", "1", "--sk", "2", code=4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "music"], "--pk"),
        (["get", "music", SONG, "--pk", "a"], "--pk"),
        (["get", "music", SONG, "--sk", "a"], "--sk goes with --pk"),
        (["get", "music", "--pk", "a", "--sk", "a"], "no sort key"),
        (["get", "music", SONG, "--select", "a,"], "'' is no attribute"),
        (["update", "music", SONG], "say what to change"),
        (["update", "music", SONG, "--set", "a"], "has no ="),
        (["update", "music", SONG, "--set", "a..b=1"], "no attribute"),
        (["update", "music", SONG, "--set", "a=[1"], "not JSON"),
        (["update", "music", SONG, "--add", "a=x"], "a number, or a JSON list"),
        (["update", "music", SONG, "--add", "a=true"], "a number, or a JSON list"),
        (["update", "music", SONG, "--add", "a=[[1]]"], "texts or numbers"),
        (["update", "music", SONG, "--delete", "a=1"], "--delete needs a JSON list"),
        (["update", "music", SONG, "--set", "a=1", "--expression", "SET a = 1"], "not both"),
        (["put", "music", SONG, "--if", "a = 1", "--if-absent"], "not both"),
        (["put", "music", SONG, "--if", "a = ?"], "--if"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_of_items(stator: CommandLine, words: list[str], said: str) -> None:
    """Exit code 2, and what to write instead."""
    assert said in stator(*words, code=2).err


def test_odd_names_stand_in_backquotes(stator: CommandLine) -> None:
    """In every option that takes a name: dots, blanks, commas and = in it are the name's."""
    stator("table", "create", "odd", "--partition-key", "id:S")
    changes = ["--set", "`a.b`=1", "--set", "`x, y`=2", "--set", "`c=d`=3", "--set", "m={}"]
    stator("update", "odd", "--pk", "1", *changes)
    item = stator("update", "odd", "--pk", "1", "--set", "m.`e f`=4", "--remove", "`c=d`").json
    assert item == {"id": "1", "a.b": 1, "x, y": 2, "m": {"e f": 4}}
    shown = stator("get", "odd", "--pk", "1", "--select", "`x, y`, `a.b`, m.`e f`").json
    assert shown == {"a.b": 1, "x, y": 2, "m": {"e f": 4}}


def test_cluster_status(stator: CommandLine) -> None:
    """Nodes that are not alive and partitions without a leader stand out."""
    text = stator("cluster", "status", "--partitions").out
    assert "NOT ALIVE" in text
    assert "Not alive: storage-3" in text
    assert "1 table, 2 partitions, 0 without a leader" in text
    assert "music/by-label" in text
    document = stator("cluster", "status", "--output", "json").json
    assert [node["name"] for node in document["nodes"]] == ["storage-1", "storage-2", "storage-3", "storage-4"]
    assert document["partitions"][0]["replicas"][1]["is_leader"] is True


def test_flags_win_over_the_environment(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """--endpoint may be repeated; one that does not answer is passed over."""
    stator.environ["STATOR_ENDPOINTS"] = "127.0.0.1:1"
    stator("table", "list", code=3)
    stator("table", "list", "--endpoint", "127.0.0.1:1", "--endpoint", cluster.endpoints[0])
