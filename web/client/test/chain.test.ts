// What tabs pass on: taken in order and once, held for those who are behind.
import { expect, test } from "vitest";
import { Chain, type Item } from "../src/chain.ts";
import { isAfter } from "../src/ids.ts";

const item = (id: string, lastEventId = id): Item => {
	return { event: "app", topic: "app", data: `data of ${id}`, id, lastEventId };
};
const batch = (from: string, ...ids: string[]) => ({
	from,
	items: ids.map((id) => item(id)),
	to: ids.at(-1) ?? from,
});
const ids = (items: readonly Item[] | null) => items?.map(({ id }) => id) ?? null;

test("a tab that knows nothing takes what comes, and then what follows on it", () => {
	const chain = new Chain();
	expect(ids(chain.take(batch("a", "b", "c")))).toEqual(["b", "c"]);
	expect(ids(chain.take(batch("c", "d")))).toEqual(["d"]);
	expect(chain.position).toBe("d");
});

test("what was seen is not taken again, in whole or in part", () => {
	const chain = new Chain();
	chain.take(batch("a", "b", "c"));
	expect(ids(chain.take(batch("a", "b")))).toEqual([]);
	expect(ids(chain.take(batch("a", "b", "c")))).toEqual([]);
	expect(ids(chain.take(batch("b", "c", "d")))).toEqual(["d"]);
	expect(chain.position).toBe("d");
});

test("what does not follow on is not taken: something is missing", () => {
	const chain = new Chain();
	chain.take(batch("a", "b"));
	expect(chain.take(batch("c", "d"))).toBeNull();
	expect(chain.position).toBe("b");
});

test("a stream that moves without an event is followed", () => {
	const chain = new Chain();
	chain.take(batch("a", "b"));
	expect(ids(chain.take({ from: "b", items: [], to: "e" }))).toEqual([]);
	expect(ids(chain.take(batch("e", "f")))).toEqual(["f"]);
});

test("events without an id are taken wherever a tab stands", () => {
	const chain = new Chain();
	chain.take(batch("a", "b"));
	const passing = { from: "a", items: [item("", "a"), item("b"), item("", "b")], to: "b" };
	expect(chain.take(passing)?.map(({ id }) => id)).toEqual(["", ""]);
	expect(ids(chain.take({ from: "b", items: [item("", "b")], to: "b" }))).toEqual([""]);
	expect(chain.after("a")?.items.map(({ id }) => id)).toEqual(["b"]);
});

test("whoever is behind is given what is missing", () => {
	const chain = new Chain();
	chain.moveTo("a");
	for (const id of ["b", "c", "d"]) {
		chain.moveTo(id);
		chain.append(item(id));
	}
	expect(chain.after("b")).toEqual({ from: "b", items: [item("c"), item("d")], to: "d" });
	expect(chain.after("d")).toEqual({ from: "d", items: [], to: "d" });
	expect(chain.after("x")).toBeNull();
	const behind = new Chain();
	behind.take(batch("a", "b"));
	expect(ids(behind.take(chain.after("b") ?? batch("")))).toEqual(["c", "d"]);
});

test("what is held has an end, in number and in size", () => {
	const chain = new Chain();
	for (let n = 0; n < 3000; n++) chain.append(item(`e-${n}`));
	chain.position = "e-2999";
	expect(chain.after("e-1500")).toBeNull();
	expect(chain.after("e-2500")).not.toBeNull();
	for (let n = 0; n < 40; n++) chain.append({ ...item(`f-${n}`), data: "x".repeat(100_000) });
	chain.position = "f-39";
	expect(chain.after("f-10")).toBeNull();
	expect(chain.after("f-30")?.items).toHaveLength(9);
});

test("the order of ids is told within an epoch, and only there", () => {
	expect(isAfter("k7f3q2xa-10", "k7f3q2xa-9")).toBe(true);
	expect(isAfter("k7f3q2xa-9", "k7f3q2xa-10")).toBe(false);
	expect(isAfter("k7f3q2xa-9", "k7f3q2xa-9")).toBe(false);
	expect(isAfter("k7f3q2xa-9223372036854775807", "k7f3q2xa-9223372036854775806")).toBe(true);
	expect(isAfter("k7f3q2xa-9", "other-8")).toBeUndefined();
	expect(isAfter("9", "8")).toBeUndefined();
	expect(isAfter("k7f3q2xa-x", "k7f3q2xa-8")).toBeUndefined();
});
