// @vitest-environment jsdom
// Whether a stream is shared between tabs: where the browser lets them, and where it does not.
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { openAny } from "../src/index.ts";
import { FakeLocks } from "./locks.ts";
import { serve, type TestServer } from "./server.ts";

const until = (condition: () => unknown) =>
	vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 10_000, interval: 5 });

let locks = new FakeLocks();

beforeEach(() => {
	locks = new FakeLocks();
	Object.defineProperty(navigator, "locks", { value: locks, configurable: true });
	onTestFinished(() => void vi.unstubAllGlobals());
});

function open(server: TestServer, token: string) {
	const stream = openAny({ url: server.url.replace("/stream", "/v1/stream?topics=app"), token });
	onTestFinished(() => stream.close());
	return stream;
}

const refused = () => Promise.reject(new DOMException("denied in this context", "SecurityError"));

test("a stream that tabs may share is shared by lock and channel", async () => {
	const stream = open(await serve(), "shared");
	await until(() => stream.status.state === "open");
	expect((await locks.query()).held).toHaveLength(2);
});

test("where locks are refused a page has a stream of its own", async () => {
	Object.assign(locks, { query: refused, request: refused });
	const server = await serve();
	const stream = open(server, "no locks");
	await until(() => stream.status.state === "open");
	stream.close();
	await until(() => server.visit(0).gone);
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
