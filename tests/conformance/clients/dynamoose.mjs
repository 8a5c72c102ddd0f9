// Models of Dynamoose. The environment says where the database is, and what the table is called. Run by node's test
// runner.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import dynamoose from "dynamoose";

dynamoose.aws.ddb.set(new dynamoose.aws.ddb.DynamoDB({ endpoint: process.env.AWS_ENDPOINT_URL, maxAttempts: 1 }));

const schema = new dynamoose.Schema({
  owner: { type: String, hashKey: true },
  number: { type: Number, rangeKey: true },
  name: { type: String, index: { name: "by-name", type: "local", rangeKey: "name" } },
  tags: { type: Set, schema: [String] },
  toys: { type: Array, schema: [String] },
  vet: { type: Object, schema: { city: String } },
  born: Date,
  photo: Buffer,
  weight: Number,
});

const Dog = dynamoose.model("Dog", schema);
const table = new dynamoose.Table(process.env.TABLE, [Dog], {
  throughput: "ON_DEMAND",
  expires: { ttl: 60 * 60 * 1000, attribute: "expires" },
  tags: { team: "core" },
  waitForActive: { enabled: true, check: { timeout: 30_000, frequency: 100 } },
  initialize: false,
});

const numbers = (found) => found.map((each) => each.number);

const range = (start, end) => Array.from({ length: end - start }, (_, place) => start + place);

before(() => table.initialize());

test("the table", async () => {
  const ddb = dynamoose.aws.ddb();
  const { Table: described } = await ddb.describeTable({ TableName: process.env.TABLE });
  assert.equal(described.TableStatus, "ACTIVE");
  assert.equal(described.BillingModeSummary.BillingMode, "PAY_PER_REQUEST");
  assert.deepEqual(described.LocalSecondaryIndexes.map((each) => each.IndexName), ["by-name"]);
  const { TimeToLiveDescription: lives } = await ddb.describeTimeToLive({ TableName: process.env.TABLE });
  assert.equal(lives.AttributeName, "expires");
});

test("create, get, update, delete", async () => {
  // It writes into what it is given.
  const dog = () => ({
    owner: "one",
    number: 1,
    name: "Rex",
    tags: new Set(["good"]),
    toys: ["ball"],
    vet: { city: "Köln" },
    born: new Date("2020-02-29T12:00:00.123Z"),
    photo: Buffer.from([0, 255]),
    weight: 12.5,
  });
  await Dog.create(dog());
  await assert.rejects(Dog.create(dog()), { name: "ConditionalCheckFailedException" });
  const key = { owner: "one", number: 1 };
  const found = await Dog.get(key, { consistent: true });
  const { expires, ...rest } = found;
  assert.deepEqual({ ...rest, photo: Buffer.from(rest.photo) }, dog());
  assert.ok(expires > new Date());
  const updated = await Dog.update(key, {
    $SET: { name: "Max", toys: ["stick"] },
    $ADD: { weight: 1, tags: ["old"] },
    $REMOVE: ["born"],
  });
  assert.deepEqual([updated.name, updated.weight, updated.born], ["Max", 13.5, undefined]);
  assert.deepEqual([updated.toys, updated.tags], [["stick"], new Set(["good", "old"])]);
  const condition = new dynamoose.Condition().where("weight").lt(10);
  await assert.rejects(Dog.update(key, { name: "No" }, { condition }), { name: "ConditionalCheckFailedException" });
  const heavy = new dynamoose.Condition().where("weight").ge(13.5).and().where("born").not().exists();
  await Dog.delete(key, { condition: heavy });
  assert.equal(await Dog.get(key, { consistent: true }), undefined);
});

test("batches, queries and scans", async () => {
  const dog = (number) => ({ owner: "many", number, name: `n${124 - number}`, weight: number % 5 });
  const dogs = range(0, 25).map(dog);
  assert.deepEqual((await Dog.batchPut(dogs)).unprocessedItems, []);
  const keys = range(20, 30).map((number) => ({ owner: "many", number }));
  const got = await Dog.batchGet(keys, { consistent: true });
  assert.deepEqual(numbers(got).sort(), [20, 21, 22, 23, 24]);

  const query = () => Dog.query("owner").eq("many").consistent();
  assert.deepEqual(numbers(await query().exec()), range(0, 25));
  assert.deepEqual(numbers(await query().sort("descending").limit(2).exec()), [24, 23]);
  assert.deepEqual(numbers(await query().where("number").between(3, 5).exec()), [3, 4, 5]);
  const light = query().filter("weight").in([1, 2]).and().filter("vet").not().exists();
  assert.deepEqual(numbers(await light.exec()), [1, 2, 6, 7, 11, 12, 16, 17, 21, 22]);
  assert.deepEqual(numbers(await query().using("by-name").limit(3).exec()), [24, 23, 22]);
  assert.deepEqual(numbers(await query().where("name").beginsWith("n12").exec()), [4, 3, 2, 1, 0]);
  const page = await query().limit(20).exec();
  const rest = await query().startAt(page.lastKey).all().exec();
  assert.deepEqual(numbers(page).concat(numbers(rest)), range(0, 25));
  assert.equal((await query().count().exec()).count, 25);

  const scanned = await Dog.scan("owner").eq("many").consistent().parallel(3).all().exec();
  assert.deepEqual(numbers(scanned).sort((one, two) => one - two), range(0, 25));
  await Dog.batchDelete(keys);
  assert.equal((await query().count().exec()).count, 20);
});
