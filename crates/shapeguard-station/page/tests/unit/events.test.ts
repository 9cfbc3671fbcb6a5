import assert from "node:assert/strict";
import { test } from "node:test";
import { eventParser } from "../../src/events";

function parse(...pieces: string[]): [string, string][] {
  const events: [string, string][] = [];
  const read = eventParser((name, data) => events.push([name, data]));
  pieces.forEach(read);
  return events;
}

test("events have a name and data; comments are passed over", () => {
  assert.deepEqual(parse(": hello\n\nevent: inspection\ndata: {\"id\":1}\n\n:\n\n"), [["inspection", '{"id":1}']]);
});

test("pieces may end anywhere, also within a line end", () => {
  const text = "event: fit\r\ndata: a\r\ndata: b\r\n\r\nevent: models\r\ndata: c\r\n\r\n";
  const expected = [["fit", "a\nb"], ["models", "c"]];
  assert.deepEqual(parse(text), expected);
  assert.deepEqual(parse(...text), expected);
});

test("data without a name is a message; a name without data is nothing", () => {
  assert.deepEqual(parse("data:x\n\nevent: empty\n\n"), [["message", "x"]]);
});

test("an event that has not ended is not told", () => {
  assert.deepEqual(parse("event: fit\ndata: a\n"), []);
});
