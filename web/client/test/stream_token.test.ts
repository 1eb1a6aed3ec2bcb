// A stream's token: where it goes, and how it is renewed when it is refused or expires.
import { expect, test } from "vitest";
import { open, texts } from "./seen.ts";
import { serve } from "./server.ts";
import { until } from "./until.ts";

test("the token goes into a header and not into the URL", async () => {
	const server = await serve();
	open(server, { token: "secret", headers: { "X-Tenant": "t1" } });
	await until(() => server.visits.length === 1);
	expect(server.visit(0).header("Authorization")).toBe("Bearer secret");
	expect(server.visit(0).header("X-Tenant")).toBe("t1");
	expect(server.visit(0).request.url).toBe("/stream");
	expect(server.visit(0).header("Last-Event-ID")).toBeUndefined();
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
