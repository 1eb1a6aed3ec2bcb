// One stream: its events, how it goes on after a break, a silence or a gap, and how it ends.
import { expect, test, vi } from "vitest";
import { open, stateNames, texts } from "./seen.ts";
import { serve } from "./server.ts";
import { until } from "./until.ts";

test("events arrive with id, name and parsed data", async () => {
	const server = await serve((visit) =>
		visit.stream('id: a-1\ndata: {"n":1}\n\nid: a-2\nevent: app/paid\ndata: plain text\n\n'),
	);
	const seen = open(server);
	await until(() => seen.events.length === 2);
	expect(seen.events).toEqual([
		{ id: "a-1", event: "message", data: { n: 1 }, text: '{"n":1}', lastEventId: "a-1" },
		{ id: "a-2", event: "app/paid", data: "plain text", text: "plain text", lastEventId: "a-2" },
	]);
	expect(stateNames(seen)).toEqual(["connecting", "open"]);
});

test("a stream that breaks resumes from its last id", async () => {
	const server = await serve(
		(visit) => visit.stream("retry: 100\nid: a-0\n\nid: a-1\ndata: 1\n\nid: a-2\ndata: unfinished\n").end(),
		(visit) => visit.stream("id: a-2\ndata: 2\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 2);
	expect(server.visit(1).header("Last-Event-ID")).toBe("a-1");
	expect(texts(seen)).toEqual(["1", "2"]);
	expect(stateNames(seen)).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
});

test("a stream that breaks before its first event resumes from where it began", async () => {
	const server = await serve(
		(visit) => visit.stream("retry: 100\nid: a-7\n\n").end(),
		(visit) => visit.stream(),
	);
	const seen = open(server);
	await until(() => server.visits.length === 2);
	expect(server.visit(1).header("Last-Event-ID")).toBe("a-7");
	expect(seen.stream.lastEventId).toBe("a-7");
});

test("a connection that is cut is opened anew", async () => {
	const server = await serve(
		(visit) => {
			visit.stream("id: 1\ndata: 1\n\n");
			setTimeout(() => visit.cut(), 20);
		},
		(visit) => visit.stream("id: 2\ndata: 2\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 2);
	expect(seen.states[2]?.error?.code).toBe("network");
});

test("a gap is told and is no event", async () => {
	const gap = { reason: "expired", requested: "a-1", resumed_from: "a-9" };
	const server = await serve((visit) =>
		visit.stream(`id: a-8\nevent: sse.gap\ndata: ${JSON.stringify(gap)}\n\nid: a-9\ndata: 9\n\n`),
	);
	const seen = open(server, { lastEventId: "a-1" });
	await until(() => seen.events.length === 1);
	expect(server.visit(0).header("Last-Event-ID")).toBe("a-1");
	expect(seen.gaps).toEqual([gap]);
	expect(texts(seen)).toEqual(["9"]);
});

test("a stream that falls silent is opened anew", async () => {
	const server = await serve((visit) => {
		const next = Number(visit.header("Last-Event-ID") ?? 0) + 1;
		visit.stream(`id: ${next}\ndata: ${next}\n\n: hb\n\n`);
	});
	const seen = open(server, { heartbeatMs: 50 });
	await until(() => seen.events.length >= 2);
	expect(texts(seen).slice(0, 2)).toEqual(["1", "2"]);
	expect(seen.comments[0]).toBe(" hb");
	expect(seen.states.map(({ error }) => error?.code)).toContain("silent");
	await until(() => server.visit(0).gone);
});

test("close ends the connection, and nothing is called afterwards", async () => {
	const server = await serve((visit) => visit.stream("data: 1\n\ndata: 2\n\n"));
	const seen = open(server, {
		onEvent: (event) => {
			seen.events.push(event);
			seen.stream.close();
			seen.stream.close();
		},
	});
	await until(() => seen.events.length > 0 && server.visit(0).gone);
	expect(texts(seen)).toEqual(["1"]);
	expect(seen.states.at(-1)).toEqual({ state: "closed", failures: 0, retryAt: null, error: null });
});

test("close before the first attempt asks nobody", async () => {
	const server = await serve();
	const seen = open(server);
	seen.stream.close();
	await new Promise((resolve) => setTimeout(resolve, 20));
	expect(server.visits).toHaveLength(0);
	expect(stateNames(seen)).toEqual(["closed"]);
});

test("close while waiting leaves no timer behind", async () => {
	const server = await serve((visit) => visit.refuse(503, {}, { "Retry-After": "100" }));
	const set = vi.spyOn(globalThis, "setTimeout");
	const clear = vi.spyOn(globalThis, "clearTimeout");
	const seen = open(server);
	await until(() => seen.stream.status.state === "waiting");
	const waits = set.mock.results.filter((_, at) => (set.mock.calls[at]?.[1] ?? 0) >= 100_000);
	expect(waits).toHaveLength(1);
	seen.stream.close();
	expect(clear.mock.calls.map(([timer]) => timer)).toContain(waits[0]?.value);
});

test("reconnect cuts a wait short", async () => {
	const server = await serve(
		(visit) => visit.refuse(503, {}, { "Retry-After": "100" }),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	await until(() => seen.stream.status.state === "waiting");
	seen.stream.reconnect();
	await until(() => seen.events.length === 1);
});

test("reconnect opens an open stream anew, from its last id", async () => {
	const server = await serve(
		(visit) => visit.stream("id: 1\ndata: 1\n\n"),
		(visit) => visit.stream("id: 2\ndata: 2\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 1);
	seen.stream.reconnect();
	await until(() => seen.events.length === 2);
	expect(server.visit(1).header("Last-Event-ID")).toBe("1");
	expect(stateNames(seen)).not.toContain("waiting");
});

test("a stream that is not to reconnect closes when it ends", async () => {
	const server = await serve((visit) => visit.stream("data: 1\n\n").end());
	const seen = open(server, { reconnect: false });
	await until(() => seen.stream.status.state === "closed");
	expect(server.visits).toHaveLength(1);
	expect(seen.stream.status.error?.message).toBe("the stream ended");
});

test("a callback that throws does not hurt the stream", async () => {
	const server = await serve((visit) => visit.stream("data: 1\n\ndata: 2\n\n"));
	const uncaught: unknown[] = [];
	const keep = process.listeners("uncaughtException");
	process.removeAllListeners("uncaughtException");
	process.on("uncaughtException", (error) => uncaught.push(error));
	const seen = open(server, {
		onEvent: (event) => {
			seen.events.push(event);
			throw new Error(event.text);
		},
	});
	await until(() => uncaught.length === 2);
	process.removeAllListeners("uncaughtException");
	for (const listener of keep) process.on("uncaughtException", listener);
	expect(texts(seen)).toEqual(["1", "2"]);
	expect(uncaught.map((error) => (error as Error).message)).toEqual(["1", "2"]);
});

test("an id of any letters is resumed from, in UTF-8", async () => {
	const server = await serve(
		(visit) => visit.stream("id: žluťoučký 🐎\ndata: 1\n\n").end(),
		(visit) => visit.stream("data: 2\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 2);
	const sent = server.visit(1).header("Last-Event-ID") ?? "";
	expect(Buffer.from(sent, "latin1").toString()).toBe("žluťoučký 🐎");
});

test("a line without end is given up, and its connection with it", async () => {
	const server = await serve((visit) => {
		visit.stream();
		const more = () => {
			while (!visit.gone && visit.response.write(": and so on ".repeat(8192)));
			visit.response.once("drain", more);
		};
		more();
	});
	const seen = open(server);
	await until(() => seen.stream.status.state === "closed");
	expect(seen.stream.status.error?.code).toBe("too_long");
	await until(() => server.visit(0).gone);
});
