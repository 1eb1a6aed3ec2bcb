// What a stream makes of an answer that is no stream, or of none: wait and ask again, follow, or end.
import { expect, test } from "vitest";
import { open } from "./seen.ts";
import { serve, type TestServer } from "./server.ts";
import { until } from "./until.ts";

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

test("503 is tried again", async () => {
	const server = await serve(
		(visit) => visit.refuse(503, {}, { "Retry-After": "0" }),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 1);
});

test("a server that is not there is asked again", async () => {
	const seen = open({ url: "http://127.0.0.1:1/" } as TestServer);
	await until(() => seen.states.filter(({ state }) => state === "waiting").length === 2);
	expect(seen.states.at(-1)).toMatchObject({ failures: 2, error: { code: "network" } });
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

for (const status of [400, 403, 404]) {
	test(`${status} ends the stream with an error`, async () => {
		const server = await serve((visit) => visit.refuse(status));
		const seen = open(server);
		await until(() => seen.stream.status.state === "closed");
		expect(seen.stream.status.error).toMatchObject({ code: "http", status, message: `${status}: because` });
		expect(server.visits).toHaveLength(1);
	});
}

for (const status of [204, 410]) {
	test(`${status} says not to come back`, async () => {
		const server = await serve(({ response }) => response.writeHead(status).end());
		const seen = open(server);
		await until(() => seen.stream.status.state === "closed");
		expect(seen.stream.status.error).toMatchObject({ code: "http", status });
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

test("a stream that has moved is followed", async () => {
	const server = await serve(
		({ response }) => response.writeHead(301, { Location: "/elsewhere" }).end(),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const seen = open(server);
	await until(() => seen.events.length === 1);
	expect(server.visit(1).request.url).toBe("/elsewhere");
});
