// @vitest-environment jsdom
// A stream in a browser that is offline, hidden or asleep.
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { openStream, type StreamOptions } from "../src/index.ts";
import { serve, type TestServer } from "./server.ts";
import { until } from "./until.ts";

let online = true;
let visibility = "visible";
Object.defineProperty(navigator, "onLine", { get: () => online });
Object.defineProperty(document, "visibilityState", { get: () => visibility });

afterEach(() => {
	online = true;
	visibility = "visible";
});

function become(what: "online" | "offline" | "visible" | "hidden") {
	if (what === "online" || what === "offline") {
		online = what === "online";
		window.dispatchEvent(new Event(what));
	} else {
		visibility = what;
		document.dispatchEvent(new Event("visibilitychange"));
	}
}

function open(server: TestServer, options: Partial<StreamOptions> = {}) {
	const stream = openStream({ url: server.url, minMs: 100, random: () => 0, ...options });
	onTestFinished(() => stream.close());
	return stream;
}

test("a stream that waits is opened as soon as the network is back", async () => {
	const server = await serve(
		(visit) => visit.stream().end(),
		(visit) => visit.stream(),
	);
	const stream = open(server, { minMs: 20_000 });
	await until(() => stream.status.state === "waiting");
	become("online");
	await until(() => stream.status.state === "open");
});

test("a stream that waits is opened as soon as the page is seen", async () => {
	const server = await serve(
		(visit) => visit.stream().end(),
		(visit) => visit.stream(),
	);
	become("hidden");
	const stream = open(server, { minMs: 20_000 });
	await until(() => stream.status.state === "waiting");
	become("visible");
	await until(() => stream.status.state === "open");
});

test("what the service asked to wait for is waited for", async () => {
	const server = await serve((visit) => visit.refuse(503, {}, { "Retry-After": "100" }));
	const stream = open(server);
	await until(() => stream.status.state === "waiting");
	become("online");
	become("visible");
	await new Promise((resolve) => setTimeout(resolve, 50));
	expect([stream.status.state, server.visits.length]).toEqual(["waiting", 1]);
});

test("nothing is tried while there is no network", async () => {
	const server = await serve(
		(visit) => visit.stream().end(),
		(visit) => visit.stream(),
	);
	become("offline");
	const stream = open(server, { minMs: 100, maxMs: 5000 });
	await until(() => (stream.status.retryAt ?? 0) > Date.now() + 1000);
	expect(server.visits).toHaveLength(1);
	become("online");
	await until(() => stream.status.state === "open");
});

test("a hidden page gives its stream up after a while, and takes it up where it was", async () => {
	const server = await serve(
		(visit) => visit.stream("id: 1\ndata: 1\n\n"),
		(visit) => visit.stream("id: 2\ndata: 2\n\n"),
	);
	const texts: string[] = [];
	const stream = open(server, { pauseHiddenMs: 30, onEvent: ({ text }) => texts.push(text) });
	await until(() => texts.length === 1);
	become("hidden");
	await until(() => server.visit(0).gone);
	await until(() => stream.status.state === "waiting");
	expect(stream.status).toMatchObject({ retryAt: null, error: null });
	become("visible");
	await until(() => texts.length === 2);
	expect(server.visit(1).header("Last-Event-ID")).toBe("1");
});

test("a page that is seen again in time keeps its stream", async () => {
	const server = await serve();
	const stream = open(server, { pauseHiddenMs: 40 });
	await until(() => stream.status.state === "open");
	become("hidden");
	become("visible");
	await new Promise((resolve) => setTimeout(resolve, 80));
	expect([stream.status.state, server.visits.length]).toEqual(["open", 1]);
});

test("a stream that died while the machine slept is opened anew when the page is seen", async () => {
	const server = await serve();
	const stream = open(server, { heartbeatMs: 15_000 });
	await until(() => stream.status.state === "open");
	const now = Date.now();
	vi.spyOn(Date, "now").mockImplementation(() => now + 3_600_000);
	become("visible");
	await until(() => server.visit(0).gone);
});

test("a closed stream listens to nothing any more", async () => {
	const server = await serve();
	const removed: string[] = [];
	for (const target of [window, document]) {
		const remove = target.removeEventListener.bind(target);
		vi.spyOn(target, "removeEventListener").mockImplementation((name: string, ...rest: unknown[]) => {
			removed.push(name);
			remove(name, ...(rest as [EventListener]));
		});
	}
	const stream = open(server);
	await until(() => stream.status.state === "open");
	stream.close();
	expect(removed.sort()).toEqual(["online", "pageshow", "resume", "visibilitychange"]);
});

test("a pause of Infinity is none", async () => {
	const server = await serve();
	const stream = open(server, { pauseHiddenMs: Number.POSITIVE_INFINITY });
	await until(() => stream.status.state === "open");
	become("hidden");
	await new Promise((resolve) => setTimeout(resolve, 50));
	expect([stream.status.state, server.visits.length]).toEqual(["open", 1]);
});
