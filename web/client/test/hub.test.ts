// @vitest-environment jsdom
// Real tabs are tried in Chromium (tests/e2e/browser/test_client.py); here is what can't be arranged there: tabs that hear nothing
// or hang, and who leads then.
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { Hub } from "../src/hub.ts";
import type { Listener } from "../src/listeners.ts";
import type { Gap } from "../src/wire.ts";
import { FakeLocks } from "./locks.ts";
import { serve, type TestServer } from "./server.ts";
import { until } from "./until.ts";

let names = 0;
let channels: DeafChannel[] = [];

/** A BroadcastChannel that a test can stop the ears of. */
class DeafChannel extends BroadcastChannel {
	isDeaf = false;
	/** Up to where it did not hear. */
	missedTo = "";

	constructor(name: string) {
		super(name);
		channels.push(this);
	}

	override set onmessage(listener: (event: MessageEvent) => void) {
		super.onmessage = (event: MessageEvent) => {
			if (!this.isDeaf) listener(event);
			else this.missedTo = event.data.message.batch?.to ?? this.missedTo;
		};
	}
}

beforeEach(() => {
	names += 1;
	channels = [];
	vi.stubGlobal("BroadcastChannel", DeafChannel);
	Object.defineProperty(navigator, "locks", { value: new FakeLocks(), configurable: true });
});
afterEach(() => void vi.unstubAllGlobals());

interface TabSeen {
	hub: Hub;
	texts: string[];
	states: string[];
	gaps: Gap[];
	errors: unknown[];
	channel: DeafChannel;
	close(): void;
}

interface TabOptions {
	topics?: string[];
	token?: string;
	fresh?: boolean;
}

function tab(server: TestServer, more: TabOptions = {}): TabSeen {
	const { topics = ["app"], token = "t", fresh = false } = more;
	const hub = new Hub(`test ${names}`, { url: server.url, token, minMs: 100, random: () => 0 });
	const seen = { texts: [] as string[], states: [] as string[], gaps: [] as Gap[], errors: [] as unknown[] };
	const user: Listener = {
		topics: new Set(topics),
		fresh,
		onEvent: ({ text }) => seen.texts.push(text),
		onState: ({ state, error }) => {
			seen.states.push(state);
			if (error !== null) seen.errors.push(error.status);
		},
		onGap: (gap) => seen.gaps.push(gap),
	};
	hub.add(user);
	const close = () => hub.remove(user);
	onTestFinished(close);
	return { hub, ...seen, channel: channels.at(-1) as DeafChannel, close };
}

async function openTab(server: TestServer, more?: TabOptions): Promise<TabSeen> {
	const seen = tab(server, more);
	await until(() => seen.states.includes("open"));
	return seen;
}

const frames = (from: number, to: number) =>
	Array.from(
		{ length: to - from },
		(_, at) => `id: k7f3q2xa-${from + at}\nevent: app\ndata: ${from + at}\n\n`,
	).join("");
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => String(from + at));

/** A service with events 1 to *last* that gives what comes after the id that is resumed from. */
async function service() {
	const state = { last: 0 };
	const server = await serve((visit) => {
		const from = Number(visit.header("Last-Event-ID")?.split("-")[1] ?? state.last);
		visit.stream(`retry: 100\nid: k7f3q2xa-${from}\n\n${frames(from + 1, state.last + 1)}`);
	});
	const live = () => server.visits.filter(({ gone }) => !gone);
	const publish = (count: number) => {
		const from = state.last + 1;
		state.last += count;
		for (const visit of live()) visit.send(frames(from, state.last + 1));
	};
	return { server, live, publish };
}

test("a tab that missed what was passed on is given it, in order and once", async () => {
	const { server, publish } = await service();
	await openTab(server);
	const other = await openTab(server);
	publish(2);
	await until(() => other.texts.length === 2);
	other.channel.isDeaf = true;
	publish(3);
	await until(() => other.channel.missedTo === "k7f3q2xa-5");
	other.channel.isDeaf = false;
	publish(1);
	await until(() => other.texts.length === 6);
	expect(other.texts).toEqual(numbers(1, 7));
	expect(other.gaps).toEqual([]);
	expect(server.visits).toHaveLength(1);
});

test("a tab that missed more than is held is told a gap, and goes on", async () => {
	const { server, publish } = await service();
	await openTab(server);
	const other = await openTab(server);
	publish(1);
	await until(() => other.texts.length === 1);
	other.channel.isDeaf = true;
	publish(1500);
	await until(() => other.channel.missedTo === "k7f3q2xa-1501");
	other.channel.isDeaf = false;
	publish(1);
	await until(() => other.gaps.length === 1);
	expect(other.gaps).toEqual([{ reason: "expired", requested: "k7f3q2xa-1", resumed_from: null }]);
	publish(1);
	await until(() => other.texts.includes("1503"));
	expect(new Set(other.texts).size).toBe(other.texts.length);
});

test("a new leader that is behind resumes from where it stands, and who is ahead sees nothing twice", async () => {
	const { server, publish, live } = await service();
	const first = await openTab(server);
	const second = await openTab(server);
	const third = await openTab(server);
	second.channel.isDeaf = true; // it is the next in the queue, and knows least
	publish(3);
	await until(() => third.texts.length === 3 && second.channel.missedTo === "k7f3q2xa-3");
	first.close();
	second.channel.isDeaf = false;
	await until(() => live().length === 1 && server.visits.length === 2);
	publish(2);
	await until(() => second.texts.length === 5 && third.texts.length === 5);
	expect([second.texts, third.texts]).toEqual([numbers(1, 6), numbers(1, 6)]);
	expect(server.visit(1).header("Last-Event-ID")).toBe("k7f3q2xa-0");
});

test("a tab that has just come and leads begins where the others stand", async () => {
	const { server, publish } = await service();
	const first = await openTab(server);
	publish(2);
	await until(() => first.texts.length === 2);
	const newcomer = tab(server);
	newcomer.channel.isDeaf = true;
	await vi.waitFor(() => expect(newcomer.states).toEqual(["connecting"]));
	const third = await openTab(server);
	newcomer.channel.isDeaf = false;
	first.close();
	publish(2);
	await until(() => third.texts.length === 2);
	expect(third.texts).toEqual(["3", "4"]);
});

test("a leader whose token is refused lets another lead", async () => {
	const server = await serve((visit) => {
		if (visit.header("Authorization") === "Bearer bad") visit.refuse(401);
		else visit.stream("retry: 100\nid: k7f3q2xa-1\n\n");
	});
	const bad = tab(server, { token: "bad" });
	await until(() => bad.states.includes("closed"));
	expect(bad.errors).toEqual([401]);
	await openTab(server);
	await until(() => bad.states.at(-1) === "open"); // it sees what the other reads
	expect(server.visits.filter((visit) => visit.header("Authorization") === "Bearer bad")).toHaveLength(1);
});

test("a tab sees an open stream when that has its topics, not before", async () => {
	const { server } = await service();
	const first = await openTab(server);
	await openTab(server, { topics: ["presence"] });
	expect(server.visits.length).toBeGreaterThan(1);
	expect(first.states).toEqual(["connecting", "open"]);
});

test("a leader that waits, as the service asked it to, is not robbed", async () => {
	const server = await serve((visit) => visit.refuse(503, {}, { "Retry-After": "600" }));
	vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
	onTestFinished(() => void vi.useRealTimers());
	const tabs = [tab(server), tab(server)];
	await until(() => tabs.every(({ states }) => states.at(-1) === "waiting"));
	const request = vi.spyOn(navigator.locks, "request");
	await vi.advanceTimersByTimeAsync(120_000);
	expect(request).not.toHaveBeenCalled();
});

test("an event and a gap that come in one read are told to all tabs in that order", async () => {
	const { server } = await service();
	await openTab(server);
	const other = await openTab(server);
	const told: string[] = [];
	const listener: Listener = {
		topics: new Set(["app"]),
		fresh: false,
		onEvent: ({ text }) => told.push(text),
		onGap: () => told.push("gap"),
	};
	other.hub.add(listener);
	onTestFinished(() => other.hub.remove(listener));
	const gap = { reason: "behind", requested: "k7f3q2xa-1", resumed_from: null };
	server.visit(0).send(`${frames(1, 3)}event: sse.gap\ndata: ${JSON.stringify(gap)}\n\n`);
	await until(() => told.length === 3);
	expect(told).toEqual(["1", "2", "gap"]);
});

test("a leader that hangs is robbed of the lead", async () => {
	const { server, publish } = await service();
	const hung = await openTab(server);
	vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
	onTestFinished(() => void vi.useRealTimers());
	const other = await openTab(server);
	const request = vi.spyOn(navigator.locks, "request");
	other.channel.isDeaf = true; // to it the leader says nothing
	await vi.advanceTimersByTimeAsync(40_000);
	expect(request).not.toHaveBeenCalled();
	await vi.advanceTimersByTimeAsync(50_000);
	vi.useRealTimers();
	await until(() => server.visits.length === 2);
	other.channel.isDeaf = false;
	await until(() => server.visit(0).gone);
	publish(1);
	await until(() => other.texts.length === 1 && hung.texts.length === 1);
});

const PUT_AWAY = [
	["frozen", document, "freeze", "resume"],
	["put into the back/forward cache", window, "pagehide", "pageshow"],
] as const;

test.each(PUT_AWAY)(
	"a page that is %s lets another lead, and catches up later",
	async (_, where, away, back) => {
		const { server, live, publish } = await service();
		const frozen = await openTab(server);
		where.dispatchEvent(new Event(away)); // both hubs live in this document, so the other comes after
		await until(() => server.visit(0).gone);
		const other = await openTab(server);
		publish(2);
		await until(() => other.texts.length === 2);
		expect(frozen.texts).toEqual([]);
		for (const name of [back, back]) where.dispatchEvent(new Event(name));
		await until(() => frozen.texts.length === 2);
		expect(live()).toHaveLength(1);
		expect(other.texts).toEqual(["1", "2"]);
		expect((await navigator.locks.query()).held).toHaveLength(3); // the lead, and each of two tabs
	},
);

test("a tab that must have a fresh stream gets one, and nobody loses anything by it", async () => {
	const { server, publish } = await service();
	const first = await openTab(server, { topics: ["app", "presence"] });
	publish(1);
	const second = tab(server, { topics: ["presence"], fresh: true });
	await until(() => server.visits.length === 2 && server.visit(0).gone);
	publish(1);
	await until(() => first.texts.length === 2);
	expect(first.texts).toEqual(["1", "2"]);
	expect(first.states).toEqual(["connecting", "open"]);
	expect(second.texts).toEqual([]);
});
