// The data model through AWS's SDK for JavaScript. The environment says where the database is, and TABLE_PREFIX what
// tables are called. Run by node's test runner.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import * as db from "@aws-sdk/client-dynamodb";
import * as doc from "@aws-sdk/lib-dynamodb";

const client = new db.DynamoDBClient({ maxAttempts: 1 });
const documents = doc.DynamoDBDocumentClient.from(client);
// Document clients of one client share their options: hence another.
const exactClient = new db.DynamoDBClient({ maxAttempts: 1 });
const exactDocuments = doc.DynamoDBDocumentClient.from(exactClient, { unmarshallOptions: { wrapNumbers: true } });

const TABLE = `${process.env.TABLE_PREFIX}-items`;
const WAIT = { client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 };

function definition(name, extra = {}) {
  return {
    TableName: name,
    KeySchema: [
      { AttributeName: "pk", KeyType: "HASH" },
      { AttributeName: "sk", KeyType: "RANGE" },
    ],
    AttributeDefinitions: ["pk:S", "sk:N", "color:S", "weight:N"].map((each) => {
      const [AttributeName, AttributeType] = each.split(":");
      return { AttributeName, AttributeType };
    }),
    LocalSecondaryIndexes: [
      index("by-color", "color", { ProjectionType: "ALL" }),
      index("by-weight", "weight", { ProjectionType: "INCLUDE", NonKeyAttributes: ["label"] }),
    ],
    BillingMode: "PAY_PER_REQUEST",
    ...extra,
  };
}

function index(IndexName, sortKey, Projection) {
  const KeySchema = [
    { AttributeName: "pk", KeyType: "HASH" },
    { AttributeName: sortKey, KeyType: "RANGE" },
  ];
  return { IndexName, KeySchema, Projection };
}

async function collect(pages, member = "Items") {
  const found = [];
  for await (const page of pages) found.push(...page[member]);
  return found;
}

const sortKeys = (items) => items.map((item) => item.sk);

const range = (start, end) => Array.from({ length: end - start }, (_, place) => start + place);

before(async () => {
  const created = await client.send(new db.CreateTableCommand(definition(TABLE)));
  assert.equal(created.TableDescription.TableStatus, "CREATING");
  const waited = await db.waitUntilTableExists(WAIT, { TableName: TABLE });
  assert.equal(waited.state, "SUCCESS");
});

after(() => {
  client.destroy();
  exactClient.destroy();
});

test("tables", async () => {
  const name = `${process.env.TABLE_PREFIX}-life`;
  const throughput = { ReadCapacityUnits: 5, WriteCapacityUnits: 6 };
  const Tags = [{ Key: "team", Value: "core" }];
  const parameters = { BillingMode: "PROVISIONED", ProvisionedThroughput: throughput, Tags };
  const { TableDescription: created } = await client.send(new db.CreateTableCommand(definition(name, parameters)));
  assert.ok(created.CreationDateTime instanceof Date);
  assert.ok(Math.abs(created.CreationDateTime - new Date()) < 60_000);
  await assert.rejects(client.send(new db.CreateTableCommand(definition(name))), db.ResourceInUseException);
  await db.waitUntilTableExists(WAIT, { TableName: name });

  const { Table: table } = await client.send(new db.DescribeTableCommand({ TableName: name }));
  assert.equal(table.TableStatus, "ACTIVE");
  assert.equal(table.ProvisionedThroughput.WriteCapacityUnits, 6);
  assert.deepEqual(table.LocalSecondaryIndexes.map((each) => each.IndexName).sort(), ["by-color", "by-weight"]);
  const names = await collect(db.paginateListTables({ client, pageSize: 1 }, {}), "TableNames");
  assert.ok(names.includes(name) && names.includes(TABLE));
  assert.equal(new Set(names).size, names.length);

  const change = { TableName: name, BillingMode: "PAY_PER_REQUEST", DeletionProtectionEnabled: true };
  const { TableDescription: changed } = await client.send(new db.UpdateTableCommand(change));
  assert.equal(changed.BillingModeSummary.BillingMode, "PAY_PER_REQUEST");
  await db.waitUntilTableExists(WAIT, { TableName: name });
  await assert.rejects(client.send(new db.DeleteTableCommand({ TableName: name })), {
    name: "ValidationException",
    message: /protected against deletion/,
  });

  const ResourceArn = table.TableArn;
  await client.send(new db.TagResourceCommand({ ResourceArn, Tags: [{ Key: "owner", Value: "" }] }));
  await client.send(new db.UntagResourceCommand({ ResourceArn, TagKeys: ["team"] }));
  const tags = await client.send(new db.ListTagsOfResourceCommand({ ResourceArn }));
  assert.deepEqual(tags.Tags, [{ Key: "owner", Value: "" }]);

  const TimeToLiveSpecification = { Enabled: true, AttributeName: "expires" };
  const live = await client.send(new db.UpdateTimeToLiveCommand({ TableName: name, TimeToLiveSpecification }));
  assert.deepEqual(live.TimeToLiveSpecification, TimeToLiveSpecification);
  const { TimeToLiveDescription: lives } = await client.send(new db.DescribeTimeToLiveCommand({ TableName: name }));
  assert.deepEqual(lives, { TimeToLiveStatus: "ENABLED", AttributeName: "expires" });

  await client.send(new db.UpdateTableCommand({ TableName: name, DeletionProtectionEnabled: false }));
  await client.send(new db.DeleteTableCommand({ TableName: name }));
  await db.waitUntilTableNotExists(WAIT, { TableName: name });
  await assert.rejects(client.send(new db.DescribeTableCommand({ TableName: name })), db.ResourceNotFoundException);

  const limits = await client.send(new db.DescribeLimitsCommand({}));
  assert.equal(limits.TableMaxWriteCapacityUnits, 40_000);
  const { Endpoints: endpoints } = await client.send(new db.DescribeEndpointsCommand({}));
  assert.equal(`http://${endpoints[0].Address}`, process.env.AWS_ENDPOINT_URL);
});

test("every type, with the types written out", async () => {
  const Item = {
    pk: { S: "typed" },
    sk: { N: "-1.5" },
    s: { S: "grün 緑 🟩" },
    n: { N: "12345678901234567890.123456789012345678" },
    b: { B: Uint8Array.from(range(0, 256)) },
    bool: { BOOL: false },
    null: { NULL: true },
    ss: { SS: ["a", "b"] },
    ns: { NS: ["1", "2.5"] },
    bs: { BS: [Uint8Array.of(0), Uint8Array.of(1, 2)] },
    l: { L: [{ S: "" }, { L: [] }, { M: {} }] },
    m: { M: { "a.b": { M: { c: { B: new Uint8Array() } } } } },
  };
  await client.send(new db.PutItemCommand({ TableName: TABLE, Item }));
  const Key = { pk: Item.pk, sk: Item.sk };
  const { Item: found } = await client.send(new db.GetItemCommand({ TableName: TABLE, Key, ConsistentRead: true }));
  assert.deepEqual(found, Item);
});

test("every type, as JavaScript's own", async () => {
  const Item = {
    pk: "native",
    sk: 1,
    text: "x",
    fraction: 0.1,
    bytes: Uint8Array.of(1, 2, 3),
    nothing: null,
    yes: true,
    list: [1, "a", [null], { deep: [new Set(["q"])] }],
    numbers: new Set([1, 2.5]),
    texts: new Set(["a", "b"]),
  };
  await documents.send(new doc.PutCommand({ TableName: TABLE, Item }));
  const get = { TableName: TABLE, Key: { pk: "native", sk: 1 }, ConsistentRead: true };
  const { Item: found } = await documents.send(new doc.GetCommand(get));
  assert.deepEqual(found, Item);
  const some = { ProjectionExpression: "#l[3].deep, fraction", ExpressionAttributeNames: { "#l": "list" } };
  const projected = await documents.send(new doc.GetCommand({ ...get, ...some }));
  assert.deepEqual(projected.Item, { list: [{ deep: [new Set(["q"])] }], fraction: 0.1 });
  const missing = await documents.send(new doc.GetCommand({ ...get, Key: { pk: "native", sk: 2 } }));
  assert.equal(missing.Item, undefined);

  const big = { pk: "native", sk: 3, n: doc.NumberValue.from("99999999999999999999999999999999999999") };
  await exactDocuments.send(new doc.PutCommand({ TableName: TABLE, Item: big }));
  const { Item: exact } = await exactDocuments.send(new doc.GetCommand({ ...get, Key: { pk: "native", sk: 3 } }));
  assert.equal(exact.n.value, "99999999999999999999999999999999999999");
});

test("conditions", async () => {
  const Item = { pk: "conditions", sk: 1, owner: "a" };
  const absent = { ConditionExpression: "attribute_not_exists(pk)" };
  await documents.send(new doc.PutCommand({ TableName: TABLE, Item, ...absent }));
  const again = { TableName: TABLE, Item, ...absent, ReturnValuesOnConditionCheckFailure: "ALL_OLD" };
  await assert.rejects(documents.send(new doc.PutCommand(again)), (error) => {
    assert.ok(error instanceof db.ConditionalCheckFailedException);
    assert.equal(error.name, "ConditionalCheckFailedException");
    assert.equal(error.message, "The conditional request failed");
    assert.equal(error.$metadata.httpStatusCode, 400);
    assert.match(error.$metadata.requestId, /^[A-Z0-9]{52}$/);
    assert.deepEqual(error.Item.owner, { S: "a" });
    return true;
  });
  const Key = { pk: "conditions", sk: 1 };
  const owned = {
    ConditionExpression: "#o = :o",
    ExpressionAttributeNames: { "#o": "owner" },
    ExpressionAttributeValues: { ":o": "b" },
  };
  await assert.rejects(
    documents.send(new doc.DeleteCommand({ TableName: TABLE, Key, ...owned })),
    db.ConditionalCheckFailedException,
  );
  owned.ExpressionAttributeValues[":o"] = "a";
  const removal = { TableName: TABLE, Key, ...owned, ReturnValues: "ALL_OLD" };
  assert.deepEqual((await documents.send(new doc.DeleteCommand(removal))).Attributes, Item);
});

test("updates", async () => {
  const Key = { pk: "updates", sk: 1 };
  const update = async (UpdateExpression, values, ReturnValues) => {
    const placeholders = Object.entries(values).map(([name, value]) => [`:${name}`, value]);
    const ExpressionAttributeValues = Object.fromEntries(placeholders);
    const input = { TableName: TABLE, Key, UpdateExpression, ExpressionAttributeValues, ReturnValues };
    return (await documents.send(new doc.UpdateCommand(input))).Attributes;
  };
  await assert.rejects(update("SET a = :a, n.x = :a", { a: 1 }, "NONE"), {
    name: "ValidationException",
    message: "The document path provided in the update expression is invalid for update",
  });
  assert.equal(await update("SET a = :a, m = :m", { a: 1, m: { l: ["x"] } }, undefined), undefined);
  assert.deepEqual(await update("SET a = a + :one", { one: 1 }, "UPDATED_NEW"), { a: 2 });
  assert.deepEqual(await update("SET a = a - :one", { one: 1 }, "UPDATED_OLD"), { a: 2 });
  const tags = new Set(["p", "q"]);
  assert.deepEqual(await update("ADD tags :t, hits :two", { t: tags, two: 2 }, "UPDATED_NEW"), { tags, hits: 2 });
  const before = await update(
    "SET m.l = list_append(:front, m.l), b = if_not_exists(b, :one) REMOVE a DELETE tags :t",
    { front: ["w"], one: 1, t: new Set(["p"]) },
    "ALL_OLD",
  );
  assert.deepEqual(before, { ...Key, a: 1, m: { l: ["x"] }, tags, hits: 2 });
  const after = await update("SET m.l[1] = :y", { y: "y" }, "ALL_NEW");
  assert.deepEqual(after, { ...Key, b: 1, m: { l: ["w", "y"] }, tags: new Set(["q"]), hits: 2 });
  const metered = { TableName: TABLE, Key, ReturnConsumedCapacity: "INDEXES", ReturnItemCollectionMetrics: "SIZE" };
  const colored = { UpdateExpression: "SET color = :c", ExpressionAttributeValues: { ":c": "red" } };
  const answer = await documents.send(new doc.UpdateCommand({ ...metered, ...colored }));
  assert.deepEqual(answer.ConsumedCapacity, {
    TableName: TABLE,
    CapacityUnits: 2,
    Table: { CapacityUnits: 1 },
    LocalSecondaryIndexes: { "by-color": { CapacityUnits: 1 } },
  });
  assert.deepEqual(answer.ItemCollectionMetrics.ItemCollectionKey, { pk: "updates" });
});

const COLLECTION = range(0, 60).map((sk) => ({
  pk: "collection",
  sk,
  color: ["blue", "green", "red"][sk % 3],
  ...(sk % 2 ? { weight: 100 - sk } : {}),
  label: `l${sk}`,
  nested: { list: [sk] },
}));

async function writeAll(requests) {
  for (let start = 0; start < requests.length; start += 25) {
    let left = { [TABLE]: requests.slice(start, start + 25) };
    while (Object.keys(left).length) {
      left = (await documents.send(new doc.BatchWriteCommand({ RequestItems: left }))).UnprocessedItems;
    }
  }
}

test("batches, queries and scans", async (context) => {
  await writeAll(COLLECTION.map((Item) => ({ PutRequest: { Item } })));

  await context.test("batch get", async () => {
    const Keys = range(0, 100).map((sk) => ({ pk: "collection", sk }));
    const wanted = { Keys, ConsistentRead: true, ProjectionExpression: "sk, nested" };
    const request = { RequestItems: { [TABLE]: wanted }, ReturnConsumedCapacity: "TOTAL" };
    const answer = await documents.send(new doc.BatchGetCommand(request));
    const found = answer.Responses[TABLE].sort((one, two) => one.sk - two.sk);
    assert.deepEqual(found, COLLECTION.map(({ sk, nested }) => ({ sk, nested })));
    assert.deepEqual(answer.UnprocessedKeys, {});
    assert.equal(answer.ConsumedCapacity[0].CapacityUnits, 100);
    await assert.rejects(
      documents.send(new doc.BatchGetCommand({ RequestItems: { [TABLE]: { Keys: [Keys[0], Keys[0]] } } })),
      { name: "ValidationException", message: "Provided list of item keys contains duplicates" },
    );
  });

  const query = (condition, values, extra = {}) => ({
    TableName: TABLE,
    ConsistentRead: true,
    KeyConditionExpression: `pk = :pk${condition}`,
    ExpressionAttributeValues: { ":pk": "collection", ...values },
    ...extra,
  });
  // What is paged writes into the request that it was given.
  const paging = { client: documents, pageSize: 7 };

  await context.test("query, page by page, both ways", async () => {
    assert.deepEqual(await collect(doc.paginateQuery(paging, query("", {}))), COLLECTION);
    const back = query("", {}, { ScanIndexForward: false });
    assert.deepEqual(await collect(doc.paginateQuery(paging, back)), COLLECTION.toReversed());
  });

  await context.test("key conditions", async () => {
    for (const [condition, values, expected] of [
      [" AND sk = :a", { ":a": 7 }, [7]],
      [" AND sk < :a", { ":a": 3 }, [0, 1, 2]],
      [" AND sk >= :a", { ":a": 58 }, [58, 59]],
      [" AND sk BETWEEN :a AND :b", { ":a": 10, ":b": 12 }, [10, 11, 12]],
    ]) {
      const { Items } = await documents.send(new doc.QueryCommand(query(condition, values)));
      assert.deepEqual(sortKeys(Items), expected, condition);
    }
  });

  await context.test("indexes", async () => {
    const ofColor = query(" AND begins_with(color, :c)", { ":c": "gr" }, { IndexName: "by-color" });
    const green = COLLECTION.filter(({ color }) => color === "green");
    assert.deepEqual(await collect(doc.paginateQuery(paging, ofColor)), green);
    const light = query(" AND weight < :w", { ":w": 50 }, { IndexName: "by-weight" });
    const { Items } = await documents.send(new doc.QueryCommand(light));
    const expected = [59, 57, 55, 53, 51].map((sk) => ({ pk: "collection", sk, weight: 100 - sk, label: `l${sk}` }));
    assert.deepEqual(Items, expected);
    const whole = await documents.send(new doc.QueryCommand({ ...light, Select: "ALL_ATTRIBUTES", Limit: 1 }));
    assert.deepEqual(whole.Items, [COLLECTION[59]]);
    assert.deepEqual(whole.LastEvaluatedKey, { pk: "collection", sk: 59, weight: 41 });
  });

  await context.test("filters and counts", async () => {
    const filtered = query("", { ":r": "red", ":n": 30 }, {
      FilterExpression: "color = :r AND (nested.#l[0] > :n OR NOT attribute_exists(weight)) AND size(label) >= :two",
      ExpressionAttributeNames: { "#l": "list" },
    });
    filtered.ExpressionAttributeValues[":two"] = 2;
    const expected = COLLECTION.filter(({ sk, color, weight }) => color === "red" && (sk > 30 || weight === undefined));
    assert.deepEqual(await collect(doc.paginateQuery(paging, { ...filtered })), expected);
    const counted = await documents.send(new doc.QueryCommand({ ...filtered, Select: "COUNT" }));
    assert.deepEqual([counted.Count, counted.ScannedCount, counted.Items], [expected.length, 60, undefined]);
  });

  await context.test("scan, in segments at once", async () => {
    const scan = (Segment, IndexName) =>
      collect(doc.paginateScan(paging, {
        TableName: TABLE,
        ConsistentRead: true,
        Segment,
        TotalSegments: 4,
        IndexName,
        FilterExpression: "pk = :pk",
        ExpressionAttributeValues: { ":pk": "collection" },
      }));
    const segments = (await Promise.all(range(0, 4).map((segment) => scan(segment)))).flat();
    assert.deepEqual(segments.sort((one, two) => one.sk - two.sk), COLLECTION);
    const entries = (await Promise.all(range(0, 4).map((segment) => scan(segment, "by-weight")))).flat();
    assert.equal(entries.length, 30);
  });

  await context.test("many requests at once", async () => {
    const gets = range(0, 60).map((sk) =>
      documents.send(new doc.GetCommand({ TableName: TABLE, Key: { pk: "collection", sk }, ConsistentRead: true })),
    );
    assert.deepEqual((await Promise.all(gets)).map(({ Item }) => Item), COLLECTION);
  });

  await context.test("parameters of old", async () => {
    const { Items } = await client.send(new db.QueryCommand({
      TableName: TABLE,
      ConsistentRead: true,
      KeyConditions: {
        pk: { ComparisonOperator: "EQ", AttributeValueList: [{ S: "collection" }] },
        sk: { ComparisonOperator: "LT", AttributeValueList: [{ N: "6" }] },
      },
      QueryFilter: { color: { ComparisonOperator: "IN", AttributeValueList: [{ S: "red" }] } },
      AttributesToGet: ["sk"],
    }));
    assert.deepEqual(Items, [{ sk: { N: "2" } }, { sk: { N: "5" } }]);
    const Key = { pk: { S: "old" }, sk: { N: "1" } };
    const put = { a: { Action: "PUT", Value: { S: "x" } }, n: { Action: "ADD", Value: { N: "2" } } };
    const answer = await client.send(new db.UpdateItemCommand({
      TableName: TABLE,
      Key,
      AttributeUpdates: put,
      Expected: { a: { Exists: false } },
      ReturnValues: "ALL_NEW",
    }));
    assert.deepEqual(answer.Attributes, { ...Key, a: { S: "x" }, n: { N: "2" } });
  });

  await context.test("batch delete", async () => {
    await writeAll(COLLECTION.map(({ pk, sk }) => ({ DeleteRequest: { Key: { pk, sk } } })));
    assert.deepEqual(await collect(doc.paginateQuery(paging, query("", {}))), []);
  });
});

test("errors have their names and messages", async () => {
  const get = (input) => documents.send(new doc.GetCommand({ TableName: TABLE, ...input }));
  await assert.rejects(get({ TableName: "missing", Key: { pk: "a", sk: 1 } }), {
    name: "ResourceNotFoundException",
    message: "Requested resource not found",
  });
  await assert.rejects(get({ Key: { pk: "a" } }), {
    name: "ValidationException",
    message: "The provided key element does not match the schema",
  });
  const put = (Item, extra = {}) => documents.send(new doc.PutCommand({ TableName: TABLE, Item, ...extra }));
  await assert.rejects(put({ pk: "a" }), {
    name: "ValidationException",
    message: /One or more parameter values were invalid: Missing the key sk in the item$/,
  });
  await assert.rejects(put({ pk: "a", sk: 1, color: 1 }), {
    name: "ValidationException",
    message: /Type mismatch for Index Key color Expected: S Actual: N IndexName: by-color/,
  });
  await assert.rejects(put({ pk: "a", sk: 1, text: "x".repeat(400 * 1024) }), {
    name: "ValidationException",
    message: /Item size has exceeded the maximum allowed size$/,
  });
  await assert.rejects(put({ pk: "a", sk: 1 }, { ConditionExpression: "attribute_exists(pk) AND" }), {
    name: "ValidationException",
    message: /Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "AND"/,
  });
  const requests = range(0, 26).map((sk) => ({ PutRequest: { Item: { pk: "a", sk } } }));
  await assert.rejects(documents.send(new doc.BatchWriteCommand({ RequestItems: { [TABLE]: requests } })), {
    name: "ValidationException",
  });
});
