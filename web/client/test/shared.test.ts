// Who asks for the same stream within a page shares its connection, and who asks for another does not.
import { expect, onTestFinished, test } from "vitest";
import { shareStream } from "../src/shared.ts";
import { serve } from "./server.ts";
import { until } from "./until.ts";

function share(url: string, more: Partial<Parameters<typeof shareStream>[0]> = {}) {
	const events: string[] = [];
	const states: string[] = [];
	const stream = shareStream({
		url,
		onEvent: ({ text }) => events.push(text),
		onState: ({ state }) => states.push(state),
		...more,
	});
	onTestFinished(() => stream.close());
	return { stream, events, states };
}

test("two who ask for the same stream share a connection, and both hear", async () => {
	const server = await serve();
	const first = share(server.url, { token: "a" });
	await until(() => first.stream.status.state === "open");
	const second = share(server.url, { token: "a" });
	await until(() => second.states.includes("open"));
	server.visit(0).send("data: 1\n\n");
	await until(() => second.events.length === 1);
	expect(first.events).toEqual(["1"]);
	expect(server.visits).toHaveLength(1);
});

test("other tokens and users have connections of their own", async () => {
	const server = await serve();
	share(server.url, { token: "a" });
	share(server.url, { token: "b" });
	share(server.url, { user: "a", getToken: () => "c" });
	await until(() => server.visits.length === 3);
});

test("the connection is closed after the last has gone, and not before", async () => {
	const server = await serve();
	const first = share(server.url);
	const second = share(server.url);
	await until(() => first.stream.status.state === "open");
	first.stream.close();
	first.stream.close();
	expect(first.stream.status.state).toBe("closed");
	server.visit(0).send("data: 1\n\n");
	await until(() => second.events.length === 1);
	expect(first.events).toEqual([]);
	second.stream.close();
	await until(() => server.visit(0).gone);
});

test("who lets go and takes again keeps the connection", async () => {
	const server = await serve();
	const first = share(server.url);
	await until(() => first.stream.status.state === "open");
	first.stream.close();
	const again = share(server.url);
	await until(() => again.states.includes("open"));
	expect(server.visits).toHaveLength(1);
	expect(server.visit(0).gone).toBe(false);
});

test("a token is asked of who is still there", async () => {
	const server = await serve(
		(visit) => visit.stream("event: sse.expired\ndata: {}\n\n"),
		(visit) => visit.stream(),
	);
	const asked: string[] = [];
	const renew = (name: string) => (reason: string) => {
		asked.push(`${name} ${reason}`);
		return name;
	};
	const first = share(server.url, { user: "u", minMs: 100, getToken: renew("first") });
	share(server.url, { user: "u", minMs: 100, getToken: renew("second") });
	first.stream.close();
	await until(() => server.visits.length === 2);
	expect(asked).toEqual(["second first", "second expired"]);
});
