import { expect, onTestFinished, test, vi } from "vitest";
import type { Gap, Stream, StreamEvent, StreamOptions, StreamStatus } from "../src/index.ts";
import { openStream } from "../src/index.ts";
import { serve, type TestServer } from "./server.ts";

interface Seen {
	stream: Stream;
	events: StreamEvent[];
	gaps: Gap[];
	states: StreamStatus[];
	comments: string[];
	expired: number;
}

function open(server: TestServer, options: Partial<StreamOptions> = {}): Seen {
	const seen: Omit<Seen, "stream"> = { events: [], gaps: [], states: [], comments: [], expired: 0 };
	const stream = openStream({
		url: server.url,
		minMs: 100,
		random: () => 0,
		onEvent: (event) => seen.events.push(event),
		onGap: (gap) => seen.gaps.push(gap),
		onState: (status) => seen.states.push(status),
		onFrame: (frame) => frame.kind === "comment" && seen.comments.push(frame.text),
		onExpired: () => {
			seen.expired += 1;
		},
		...options,
	});
	onTestFinished(() => stream.close());
	return Object.assign(seen, { stream });
}

const until = (condition: () => unknown) =>
	vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 10_000, interval: 5 });
const stateNames = (seen: Seen) => seen.states.map(({ state }) => state);
const texts = (seen: Seen) => seen.events.map(({ text }) => text);

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

test("the token goes into a header and not into the URL", async () => {
	const server = await serve();
	open(server, { token: "secret", headers: { "X-Tenant": "t1" } });
	await until(() => server.visits.length === 1);
	expect(server.visit(0).header("Authorization")).toBe("Bearer secret");
	expect(server.visit(0).header("X-Tenant")).toBe("t1");
	expect(server.visit(0).request.url).toBe("/stream");
	expect(server.visit(0).header("Last-Event-ID")).toBeUndefined();
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

test("a server that is not there is asked again", async () => {
	const seen = open({ url: "http://127.0.0.1:1/" } as TestServer);
	await until(() => seen.states.filter(({ state }) => state === "waiting").length === 2);
	expect(seen.states.at(-1)).toMatchObject({ failures: 2, error: { code: "network" } });
});

test("429 waits as long as Retry-After says, and tells which limit", async () => {
	const server = await serve(
		(visit) => visit.refuse(429, { limit: "user" }, { "Retry-After": "1" }),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	const before = Date.now();
	await until(() => seen.events.length === 1);
	expect(Date.now() - before).toBeGreaterThanOrEqual(990);
	const waiting = seen.states[1];
	expect(waiting).toMatchObject({ state: "waiting", error: { status: 429, problem: { limit: "user" } } });
	expect(waiting?.retryAt).toBeGreaterThanOrEqual(before + 1000);
});

test("503 is tried again", async () => {
	const server = await serve(
		(visit) => visit.refuse(503, {}, { "Retry-After": "0" }),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 1);
});

for (const status of [400, 403, 404]) {
	test(`${status} ends the stream with an error`, async () => {
		const server = await serve((visit) => visit.refuse(status));
		const seen = open(server);
		await until(() => seen.stream.status.state === "closed");
		expect(seen.stream.status.error).toMatchObject({ code: "http", status, message: `${status}: because` });
		expect(server.visits).toHaveLength(1);
	});
}

test("an answer that is no event stream ends it", async () => {
	const server = await serve((visit) => {
		visit.response.writeHead(200, { "Content-Type": "text/html" });
		visit.response.end("<!doctype html>");
	});
	const seen = open(server);
	await until(() => seen.stream.status.state === "closed");
	expect(seen.stream.status.error?.code).toBe("type");
});

test("401 ends a stream that can't renew its token", async () => {
	const server = await serve((visit) => visit.refuse(401));
	const seen = open(server, { token: "old" });
	await until(() => seen.stream.status.state === "closed");
	expect(seen.stream.status.error?.status).toBe(401);
});

test("401 has the token renewed, once", async () => {
	const server = await serve((visit) => visit.refuse(401));
	const reasons: string[] = [];
	const seen = open(server, {
		getToken: (reason) => {
			reasons.push(reason);
			return `token ${reasons.length}`;
		},
	});
	await until(() => seen.stream.status.state === "closed");
	expect(reasons).toEqual(["first", "refused"]);
	expect(server.visits.map((visit) => visit.header("Authorization"))).toEqual([
		"Bearer token 1",
		"Bearer token 2",
	]);
	expect(seen.stream.status.error?.status).toBe(401);
});

test("getToken that gives what was refused ends the stream", async () => {
	const server = await serve((visit) => visit.refuse(401));
	const seen = open(server, { getToken: () => "same" });
	await until(() => seen.stream.status.state === "closed");
	expect(seen.stream.status.error?.code).toBe("token");
	expect(server.visits).toHaveLength(1);
});

test("getToken that rejects is asked again", async () => {
	const server = await serve((visit) => visit.stream("data: 1\n\n"));
	let asked = 0;
	const seen = open(server, {
		getToken: async () => {
			asked += 1;
			if (asked < 3) throw new Error("the login service is down");
			return "fresh";
		},
	});
	await until(() => seen.events.length === 1);
	expect(asked).toBe(3);
	expect(seen.states[1]).toMatchObject({
		state: "waiting",
		error: { cause: { message: "the login service is down" } },
	});
});

test("an expired token is renewed and the stream resumed", async () => {
	const server = await serve(
		(visit) => visit.stream('id: 1\ndata: 1\n\nevent: sse.expired\ndata: {"timestamp":"t"}\n\n').end(),
		(visit) => visit.stream("id: 2\ndata: 2\n\n"),
	);
	const reasons: string[] = [];
	const seen = open(server, {
		token: "old",
		getToken: (reason) => {
			reasons.push(reason);
			return "new";
		},
	});
	await until(() => seen.events.length === 2);
	expect(reasons).toEqual(["expired"]);
	expect(server.visit(1).header("Authorization")).toBe("Bearer new");
	expect(server.visit(1).header("Last-Event-ID")).toBe("1");
	expect(seen.expired).toBe(1);
	expect(texts(seen)).toEqual(["1", "2"]);
});

test("an expired token that can't be renewed ends the stream", async () => {
	const server = await serve((visit) => visit.stream("event: sse.expired\ndata: {}\n\n"));
	const seen = open(server, { token: "old" });
	await until(() => seen.stream.status.state === "closed");
	expect([seen.expired, seen.stream.status.error?.code]).toEqual([1, "token"]);
	await until(() => server.visit(0).gone);
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

test("a token that fits in no header ends the stream, and nothing is asked", async () => {
	const server = await serve();
	const seen = open(server, { token: "to\nken" });
	await until(() => seen.stream.status.state === "closed");
	expect(seen.stream.status.error?.code).toBe("token");
	expect(server.visits).toHaveLength(0);
});

test("getToken that never answers holds up neither reconnect nor close", async () => {
	const server = await serve((visit) => visit.stream("data: 1\n\n"));
	let asked = 0;
	const seen = open(server, {
		getToken: () => {
			asked += 1;
			return asked === 1 ? new Promise<string>(() => {}) : "fresh";
		},
	});
	await until(() => asked === 1);
	seen.stream.reconnect();
	await until(() => seen.events.length === 1);
	expect(server.visit(0).header("Authorization")).toBe("Bearer fresh");
});

test("what a proxy says instead of the service is not read to its end", async () => {
	const server = await serve(
		({ response }) => {
			response.writeHead(502, { "Content-Type": "text/html" });
			response.write("<h1>Bad gateway</h1>"); // and so on, for ever
		},
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 1);
	expect(server.visit(0).gone).toBe(true);
	expect(seen.states[1]).toMatchObject({ state: "waiting", error: { status: 502 } });
});

test("a date in Retry-After is read by the service's clock", async () => {
	const server = await serve((visit) =>
		visit.refuse(
			429,
			{},
			{
				Date: "Wed, 21 Oct 2015 07:28:00 GMT",
				"Retry-After": "Wed, 21 Oct 2015 07:29:00 GMT",
			},
		),
	);
	const seen = open(server);
	await until(() => seen.stream.status.state === "waiting");
	expect(seen.stream.status.error?.retryAfterMs).toBe(60_000);
});

for (const status of [204, 410]) {
	test(`${status} says not to come back`, async () => {
		const server = await serve(({ response }) => response.writeHead(status).end());
		const seen = open(server);
		await until(() => seen.stream.status.state === "closed");
		expect(seen.stream.status.error).toMatchObject({ code: "http", status });
	});
}

test("a stream that has moved is followed", async () => {
	const server = await serve(
		({ response }) => response.writeHead(301, { Location: "/elsewhere" }).end(),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 1);
	expect(server.visit(1).request.url).toBe("/elsewhere");
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
