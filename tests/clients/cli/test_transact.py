"""`stator transact`."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from stator.cli.exits import UsageError
from stator.cli.transact_reading import parse_transaction

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster
from tests.clients.fake_cluster import Refusal

PAY = {"update": "accounts", "key": {"pk": "a"}, "add": {"balance": -30}, "if": "balance >= 30"}
GET_PAID = {"update": "accounts", "key": {"pk": "b"}, "expression": "set balance = balance + 30"}


@pytest.fixture
def accounts(cluster: BackgroundCluster, stator: CommandLine) -> CommandLine:
    """The command, where a has 50 and b has 0."""
    cluster.state.add_table("accounts")
    stator("transact", "-", stdin=text_of(account("a", 50), account("b", 0)))
    return stator


def account(name: str, balance: int) -> dict[str, Any]:
    return {"put": "accounts", "item": {"pk": name, "balance": balance}}


def text_of(*members: Any) -> str:
    return json.dumps(members)


def balances(stator: CommandLine) -> list[int]:
    reads = text_of(*({"get": "accounts", "key": {"pk": name}} for name in "ab"))
    return [item["balance"] for item in stator("transact", "-", stdin=reads).json]


def test_writes(accounts: CommandLine, cluster: BackgroundCluster) -> None:
    """All kinds of them, which are counted; and what came of them."""
    accounts("put", "music", '{"pk": "x", "tags": ["a"], "n": 1, "draft": true, "m": {"k": 1}}')
    accounts("update", "music", '{"pk": "x"}', "--add", 'kept=["a", "b"]')
    change = {
        "update": "music",
        "key": {"pk": "x"},
        "set": {"title": "I Put a Spell on You", "m.k": [1, None]},
        "set_if_absent": {"plays": 0},
        "add": {"new": ["v"], "n": 0.5},
        "remove": ["draft"],
        "delete": {"kept": ["a"]},
        "if": 'n = 1 AND attribute_exists(`m`) and tags[0] = "a"',
    }
    gone = {"delete": "accounts", "key": {"pk": "none"}}
    check = {"check": "accounts", "key": {"pk": "c"}, "if": "attribute_not_exists(balance)"}
    told = accounts("transact", "-", stdin=text_of(PAY, change, gone, GET_PAID, check))
    assert told.out == "Carried out: 3 updates, 1 delete, 1 check, 4 capacity units.\n"
    assert balances(accounts) == [20, 30]
    assert accounts("get", "music", '{"pk": "x"}').json == {
        "pk": "x",
        "tags": ["a"],
        "n": 1.5,
        "m": {"k": [1, None]},
        "title": "I Put a Spell on You",
        "plays": 0,
        "new": ["v"],
        "kept": ["b"],
    }
    assert cluster.state.transactions_carried_out == 2


def test_a_condition_that_does_not_hold(accounts: CommandLine) -> None:
    """Nothing is written; each is named, with what was found; the command ends with 5."""
    failing = [
        account("c", 1),
        {**PAY, "if": "balance >= 60"},
        {"delete": "accounts", "key": {"pk": "none"}, "if": "attribute_exists(pk)"},
    ]
    told = accounts("transact", "-", stdin=text_of(*failing), code=5)
    assert told.out == ""
    assert told.err.splitlines() == [
        "error: the transaction was cancelled, nothing was written:",
        '  2 update accounts {"pk": "a"}: the condition does not hold: the item is {"balance": 50, "pk": "a"}.',
        '  3 delete accounts {"pk": "none"}: the condition does not hold: there is no such item.',
    ]
    assert "no such item" in accounts("get", "accounts", '{"pk": "c"}', code=4).err


def test_other_reasons(accounts: CommandLine, cluster: BackgroundCluster) -> None:
    """Each with its words; the command ends with 1. What others were in the way of was tried again before."""
    refusal = Refusal("TransactionCanceledException", "cancelled")
    refusal.wire.cancellation_reasons.add(code="TransactionConflict", message="ongoing")
    refusal.wire.cancellation_reasons.add(code="ValidationError", message="An operand is wrong")
    cluster.state.refusals.append(refusal)
    told = accounts("transact", "-", stdin=text_of(PAY, GET_PAID), code=1)
    assert "1 update" in told.err and "another transaction, or a write, is at work on the item" in told.err
    assert '2 update accounts {"pk": "b"}: An operand is wrong (ValidationError).' in told.err
    conflict = Refusal("TransactionCanceledException", "cancelled")
    conflict.wire.cancellation_reasons.add(code="TransactionConflict", message="ongoing")
    cluster.state.refusals.append(conflict)
    reads = text_of({"get": "accounts", "key": {"pk": "a"}})
    assert accounts("transact", "-", stdin=reads).json == [{"pk": "a", "balance": 50}]
    cluster.state.refusals.extend(conflict for _ in range(10))
    assert "nothing was read:\n  1 get accounts" in accounts("transact", "-", stdin=reads, code=7).err
    cluster.state.refusals.extend(Refusal("TransactionConflictException", "ongoing") for _ in range(10))
    assert "TransactionConflictException" in accounts("put", "accounts", '{"pk": "a"}', code=7).err


def test_reads(accounts: CommandLine) -> None:
    """In the order of the file, null where there is none; what they cost is told apart."""
    accounts("put", "music", '{"pk": "x", "a.b": {"c": [1, 2]}, "size": 3}')
    reads = [
        {"get": "accounts", "key": {"pk": "b"}},
        {"get": "accounts", "key": {"pk": "none"}},
        {"get": "music", "key": {"pk": "x"}, "select": "`a.b`.c[1], size"},
    ]
    told = accounts("transact", "-", stdin=text_of(*reads))
    assert told.json == [{"pk": "b", "balance": 0}, None, {"a.b": {"c": [2]}, "size": 3}]
    assert told.err == "2 of 3 items, 4 rcu.\n"
    typed = text_of({"get": "accounts", "key": {"pk": {"S": "b"}}})
    found = accounts("transact", "-", "--dynamodb-json", stdin=typed)
    assert found.json == [{"balance": {"N": "0"}, "pk": {"S": "b"}}]
    assert found.err == "1 of 1 item, 2 rcu.\n"


def test_typed_writes(accounts: CommandLine) -> None:
    """With --dynamodb-json, every value is typed, those of updates too."""
    typed = [
        {"put": "music", "item": {"pk": {"S": "t"}, "b": {"B": "AQI="}}},
        {"update": "accounts", "key": {"pk": {"S": "a"}}, "set": {"b": {"B": "AQI="}}, "add": {"s": {"NS": ["1"]}}},
    ]
    accounts("transact", "-", "--dynamodb-json", stdin=text_of(*typed))
    found = accounts("get", "accounts", '{"pk": {"S": "a"}}', "--dynamodb-json").json
    assert found == {"pk": {"S": "a"}, "balance": {"N": "50"}, "b": {"B": "AQI="}, "s": {"NS": ["1"]}}


def test_dynamodbs_own_shape(accounts: CommandLine, cluster: BackgroundCluster) -> None:
    """Whole requests and lists of members; the request's token is used."""
    key = {"pk": {"S": "a"}}
    members = [
        {"Put": {"TableName": "music", "Item": {"pk": {"S": "n"}}, "ConditionExpression": "attribute_not_exists(pk)"}},
        {
            "Update": {
                "TableName": "accounts",
                "Key": key,
                "UpdateExpression": "ADD #b :n",
                "ConditionExpression": "#b >= :least",
                "ExpressionAttributeNames": {"#b": "balance"},
                "ExpressionAttributeValues": {":n": {"N": "-30"}, ":least": {"N": "30"}},
                "ReturnValuesOnConditionCheckFailure": "NONE",
            }
        },
        {"Delete": {"TableName": "accounts", "Key": {"pk": {"S": "b"}}}},
        {"ConditionCheck": {"TableName": "music", "Key": key, "ConditionExpression": "attribute_not_exists(pk)"}},
    ]
    request = {"TransactItems": members, "ClientRequestToken": "t-1", "ReturnConsumedCapacity": "TOTAL"}
    for _ in range(2):
        accounts("transact", "-", stdin=json.dumps(request))
    assert list(cluster.state.transactions) == ["t-1"]
    told = accounts("transact", "-", stdin=json.dumps(members), code=5).err
    assert '1 put music {"pk": "n"}: the condition does not hold: the item is {"pk": "n"}.' in told
    assert '2 update accounts {"pk": "a"}: the condition does not hold.' in told
    part = {"ProjectionExpression": "#b", "ExpressionAttributeNames": {"#b": "balance"}}
    gets = [
        {"Get": {"TableName": "accounts", "Key": key, **part}},
        {"Get": {"TableName": "accounts", "Key": {"pk": {"S": "b"}}}},
    ]
    assert accounts("transact", "-", stdin=json.dumps({"TransactItems": gets})).json == [{"balance": 20}, None]


def test_files(accounts: CommandLine, tmp_path: Path) -> None:
    """An array, objects one behind the other, and either packed."""
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\ufeff" + json.dumps(PAY) + "\n\n" + json.dumps(GET_PAID) + "\n", "utf-8")
    accounts("transact", str(lines))
    assert balances(accounts) == [20, 30]
    packed = tmp_path / "back.json.gz"
    packed.write_bytes(gzip.compress(text_of(account("a", 1), account("b", 2)).encode()))
    accounts("transact", str(packed))
    assert balances(accounts) == [1, 2]
    accounts("transact", "-", stdin="\ufeff" + text_of(account("a", 3)))
    assert balances(accounts) == [3, 2]
    packed.write_bytes(b"nothing")
    assert "cannot be unpacked" in accounts("transact", str(packed), code=2).err
    assert "cannot be read" in accounts("transact", str(tmp_path / "none"), code=2).err


def test_a_token(accounts: CommandLine, cluster: BackgroundCluster) -> None:
    """By which a transaction is carried out once; what it names already is no other transaction."""
    for _ in range(2):
        accounts("transact", "-", "--token", "t-2", stdin=text_of(PAY))
    assert balances(accounts) == [20, 0]
    told = accounts("transact", "-", "--token", "t-2", stdin=text_of(GET_PAID), code=1)
    assert "IdempotentParameterMismatch" in told.err


def test_an_open_outcome(accounts: CommandLine, cluster: BackgroundCluster) -> None:
    """Says so, and what can be done; other errors do not."""
    for router in cluster.routers:
        router.is_hung = True
    told = accounts("transact", "-", "--timeout", "0.3", stdin=text_of(PAY), code=3).err
    assert "may have been carried out: run again it might be so twice." in told
    told = accounts("transact", "-", "--timeout", "0.3", "--token", "t", stdin=text_of(PAY), code=3).err
    assert "may have been carried out: with the same --token it can be run again safely." in told
    for router in cluster.routers:
        router.is_hung = False
    cluster.state.refusals.append(Refusal("ThrottlingException", "slow down"))
    assert "may have" not in accounts("transact", "-", stdin=text_of(PAY), code=1).err


def test_errors_name_no_placeholders(accounts: CommandLine, cluster: BackgroundCluster) -> None:
    """Each name and value has one of its own in the whole transaction."""
    cluster.state.refusals.append(Refusal("ValidationException", "it is wrong: #n1 and :v2, #n2 and :v3"))
    members = [{**PAY, "if": "a = 1"}, {**GET_PAID, "if": "b = 7"}]
    assert "it is wrong: balance and 7, b and 30" in accounts("transact", "-", stdin=text_of(*members), code=1).err


KEY = {"pk": "a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to do"),
        ("[]", "nothing to do"),
        ('{"TransactItems": {}}', "nothing to do"),
        ('[{"put": "t", "item": NaN}]', "NaN"),
        ('[{"put": ', "not JSON"),
        ("[" * 30_000, "nested too deeply"),
        ("7", "member 1: it must be an object"),
        (text_of(PAY, "x"), "member 2: it must be an object"),
        (text_of({"put": 7}), "must name a table once"),
        (text_of({"put": "t", "delete": "t"}), "must name a table once"),
        (text_of({"put": "t", "Put": {}}), "must name a table once"),
        (text_of({"Put": {}, "Delete": {}}), "must name a table once"),
        (text_of({"Put": []}), "must name a table once"),
        (text_of({"put": "t", "key": KEY}), '"key" is not known beside "put": there are put, item, if.'),
        (text_of({"put": "t"}), '"item" is missing'),
        (text_of({"delete": "t"}), '"key" is missing'),
        (text_of({"delete": "t", "key": []}), "must be a JSON object"),
        (text_of({"check": "t", "key": KEY}), '"check" needs an "if"'),
        (text_of({"delete": "t", "key": KEY, "if": 7}), '"if" is a text'),
        (text_of({"delete": "t", "key": KEY, "if": "a ? b"}), '"if": this cannot be read'),
        (text_of({"get": "t", "key": KEY, "select": "a..b"}), "\"select\": 'a..b' is no attribute"),
        (text_of(*[PAY] * 101), "there are 101 members: a transaction has at most 100"),
        (text_of({"update": "t", "key": KEY}), 'member 1: "update" needs something to change'),
        (text_of({"update": "t", "key": KEY, "set": {}}), 'member 1: "update" needs something to change'),
        (text_of({"update": "t", "key": KEY, "set": ["a"]}), '"set" is an object'),
        (text_of({"update": "t", "key": KEY, "set": {"a..b": 1}}), "\"set\": 'a..b' is no attribute"),
        (text_of({"update": "t", "key": KEY, "remove": "a"}), '"remove" is an array'),
        (text_of({"update": "t", "key": KEY, "remove": [7]}), '"remove" is an array'),
        (text_of({"update": "t", "key": KEY, "add": {"a": True}}), '"add" needs a number'),
        (text_of({"update": "t", "key": KEY, "add": {"a": [[]]}}), '"add" needs a number'),
        (text_of({"update": "t", "key": KEY, "delete": {"a": 1}}), '"delete" needs an array'),
        (text_of({"update": "t", "key": KEY, "set": {"a": 1}, "expression": "set a = 1"}), "not both"),
        (text_of(PAY, {"get": "t", "key": KEY}), "member 2: a transaction reads or writes, not both"),
        ('{"TransactItems": [], "Region": "x"}', '"Region" is not known in the request'),
        ('{"TransactItems": [], "ClientRequestToken": 7}', "ClientRequestToken is a text"),
        (text_of({"Put": {"Item": KEY}}), "TableName is missing in Put"),
        (text_of({"Put": {"TableName": "t"}}), "Item is missing in Put"),
        (text_of({"Delete": {"TableName": "t", "Item": {}}}), '"Item" is not known in Delete'),
        (text_of({"Delete": {"TableName": "t", "Key": KEY}}), "attribute 'pk'"),
        (text_of({"Get": {"TableName": "t", "Key": {}, "ProjectionExpression": ""}}), "ProjectionExpression is a text"),
        (text_of({"Get": {"TableName": "t", "Key": {}, "ExpressionAttributeNames": 7}}), "Names is an object"),
    ],
    ids=lambda text: text[:60],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    """Each has a sentence that says what is wrong, and where."""
    with pytest.raises(UsageError, match=re.escape(words)):
        parse_transaction(text, is_dynamodb_json=False)


def test_mistakes_are_the_users(accounts: CommandLine) -> None:
    """They end with 2, and nothing is sent."""
    assert "member 2: it must be an object" in accounts("transact", "-", stdin=text_of(PAY, 7), code=2).err
    assert balances(accounts) == [50, 0]


def test_tokens_that_cannot_be(accounts: CommandLine) -> None:
    """Two of them, and one for reads."""
    delete = {"Delete": {"TableName": "music", "Key": {"pk": {"S": "a"}}}}
    request = {"TransactItems": [delete], "ClientRequestToken": "t"}
    assert "not both" in accounts("transact", "-", "--token", "u", stdin=json.dumps(request), code=2).err
    reads = text_of({"get": "accounts", "key": KEY})
    assert "a token is for writes" in accounts("transact", "-", "--token", "u", stdin=reads, code=2).err


def test_a_file_without_end(accounts: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not read whole."""
    monkeypatch.setattr("stator.cli.transact_reading.FILE_CHARS_MAX", 10)
    assert "longer than any transaction" in accounts("transact", "-", stdin=text_of(PAY), code=2).err
