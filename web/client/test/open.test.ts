// @vitest-environment jsdom
// Whether a stream is shared between tabs: where the browser lets them, and where it does not.
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { openAny } from "../src/index.ts";
import { FakeLocks } from "./locks.ts";
import { serve, type TestServer } from "./server.ts";
import { until } from "./until.ts";

let locks = new FakeLocks();

beforeEach(() => {
	locks = new FakeLocks();
	Object.defineProperty(navigator, "locks", { value: locks, configurable: true });
	onTestFinished(() => void vi.unstubAllGlobals());
});

const urlOf = (server: TestServer, topic: string) =>
	server.url.replace("/stream", `/v1/stream?topics=${topic}`);

function open(server: TestServer, token: string, topic = "app") {
	const stream = openAny({ url: urlOf(server, topic), token });
	onTestFinished(() => stream.close());
	return stream;
}

const refused = () => Promise.reject(new DOMException("denied in this context", "SecurityError"));

test("a stream that tabs may share is shared by lock and channel", async () => {
	const stream = open(await serve(), "shared");
	await until(() => stream.status.state === "open");
	expect((await locks.query()).held).toHaveLength(2);
});

test("where locks are refused a page has one connection of its own for all its topics", async () => {
	Object.assign(locks, { query: refused, request: refused });
	const server = await serve();
	const streams = ["app", "presence", "chat:general"].map((topic) => open(server, "no locks", topic));
	await until(() => streams.every(({ status }) => status.state === "open"));
	expect(server.visits).toHaveLength(1);
	// They come to the hub in the order in which their names are hashed.
	expect(server.visit(0).query.get("topics")?.split(",").sort()).toEqual(["app", "chat:general", "presence"]);
	for (const stream of streams) stream.close();
	await until(() => server.visit(0).gone);
});

test("a page in no secure context, without locks and hashes, has one of its own too", async () => {
	Object.defineProperty(navigator, "locks", { value: undefined, configurable: true });
	vi.stubGlobal("crypto", {});
	const server = await serve((visit) => {
		if (visit.header("Authorization") === "Bearer bad") visit.refuse(401);
		else visit.stream("event: app\ndata: 1\n\n");
	});
	const streams = [open(server, "one"), open(server, "one", "presence"), open(server, "another")];
	const bad = open(server, "bad");
	await until(() => streams.every(({ status }) => status.state === "open"));
	await until(() => bad.status.state === "closed");
	expect(server.visits.filter(({ gone }) => !gone)).toHaveLength(2);
	bad.reconnect();
	await until(() => server.visits.length === 4 && bad.status.state === "closed");
});

test("where channels are refused a page has a stream of its own", async () => {
	vi.stubGlobal(
		"BroadcastChannel",
		class {
			constructor() {
				throw new DOMException("denied in this context", "SecurityError");
			}
		},
	);
	const stream = open(await serve(), "no channels");
	await until(() => stream.status.state === "open");
	expect((await locks.query()).held).toEqual([]);
});

test("a token that getToken has given is not asked for again by the stream", async () => {
	const server = await serve();
	const asked: string[] = [];
	const getToken = async (reason: string) => `token ${asked.push(reason)}`;
	const stream = openAny({ url: urlOf(server, "app"), getToken });
	onTestFinished(() => stream.close());
	await until(() => stream.status.state === "open");
	expect([asked, server.visit(0).header("Authorization")]).toEqual([["first"], "Bearer token 1"]);
});

test("a page whose getToken fails has a stream of its own, which asks on", async () => {
	let fails = 2;
	const getToken = () => (fails-- > 0 ? Promise.reject(new Error("away")) : Promise.resolve("t"));
	const stream = openAny({ url: urlOf(await serve(), "app"), getToken, minMs: 10 });
	onTestFinished(() => stream.close());
	await until(() => stream.status.state === "open");
	expect((await locks.query()).held).toEqual([]);
});

test("whoever is known by a cookie alone shares with no tab", async () => {
	const stream = openAny({ url: urlOf(await serve(), "app") });
	onTestFinished(() => stream.close());
	await until(() => stream.status.state === "open");
	expect((await locks.query()).held).toEqual([]);
});
