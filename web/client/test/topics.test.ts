// One stream whose topics change while it runs.
import { expect, onTestFinished, test, vi } from "vitest";
import { TopicStream, topicOf } from "../src/topics.ts";
import { serve, type Visit } from "./server.ts";
import { until } from "./until.ts";

/** A service with topics a, b and c, three at most; who asks for another is refused. Streams begin at *head*, or where they resume. */
async function service(...topics: string[]) {
	const state = { head: "k7f3q2xa-1", streams: [] as Visit[] };
	const server = await serve((visit) => {
		const asked = visit.query.get("topics")?.split(",") ?? [];
		if (asked.length > 3 || asked.some((topic) => !["a", "b", "c", "a:x/y", "a:x"].includes(topic))) {
			visit.refuse(asked.includes("secret") ? 403 : 400);
			return;
		}
		state.streams.push(visit.stream(`retry: 100\nid: ${visit.header("Last-Event-ID") ?? state.head}\n\n`));
	});
	const seen = { texts: [] as string[], states: [] as string[], gaps: 0 };
	const stream = new TopicStream({
		access: { url: server.url, minMs: 100, random: () => 0 },
		onTopicEvent: ({ data }, topic) => seen.texts.push(`${topic} ${data}`),
		onGap: () => {
			seen.gaps += 1;
		},
		onPosition: () => {},
		onExpired: () => {},
		onBeat: () => {},
		onChange: () => seen.states.push(stream.status.state),
	});
	onTestFinished(() => stream.close());
	const live = () => state.streams.filter(({ gone }) => !gone);
	const want = (...names: string[]) => stream.want(new Set(names));
	if (topics.length > 0) {
		want(...topics);
		await until(() => stream.status.state === "open" && stream.lastEventId !== "");
	}
	return { ...{ server, state, stream, seen, live, want } };
}

const frame = (n: number, topic: string) => `id: k7f3q2xa-${n}\nevent: ${topic}\ndata: ${n}\n\n`;

test("the topics that are wanted together are asked for together", async () => {
	const { server, seen, live, stream } = await service("a", "b");
	expect(server.visits).toHaveLength(1);
	expect(server.visit(0).query.get("topics")).toBe("a,b");
	live()[0]?.send(frame(2, "a") + frame(3, "b/named"));
	await until(() => seen.texts.length === 2);
	expect(seen.texts).toEqual(["a 2", "b 3"]);
	expect([...stream.active]).toEqual(["a", "b"]);
});

test("a topic that is added begins now, and the others go on from their last id", async () => {
	const { server, state, seen, live, want, stream } = await service("a");
	live()[0]?.send(frame(2, "a"));
	await until(() => seen.texts.length === 1);
	state.head = "k7f3q2xa-7"; // events 3 to 7 were of other topics, some of b
	want("a", "b");
	await until(() => stream.active.has("b") && live().length === 1);
	expect(server.visits.map((visit) => [visit.query.get("topics"), visit.header("Last-Event-ID")])).toEqual([
		["a", undefined],
		["b", undefined],
		["a,b", "k7f3q2xa-2"],
	]);
	live()[0]?.send(frame(5, "b") + frame(6, "a") + frame(7, "b") + frame(8, "b") + frame(9, "a"));
	await until(() => seen.texts.includes("a 9"));
	expect(seen.texts).toEqual(["a 2", "a 6", "b 8", "a 9"]);
	expect(seen.states).not.toContain("closed");
});

test("a topic that nobody wants any more is dropped after a while", async () => {
	const { server, live, want, stream } = await service("a", "b");
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
	onTestFinished(() => void vi.useRealTimers());
	want("a");
	await vi.advanceTimersByTimeAsync(4000);
	want("a", "b"); // who turns a page comes back
	await vi.advanceTimersByTimeAsync(4000);
	want("a");
	await vi.advanceTimersByTimeAsync(6000);
	vi.useRealTimers();
	await until(() => [...stream.active].join() === "a" && live().length === 1);
	expect(server.visits.map((visit) => visit.query.get("topics"))).toEqual(["a,b", "a"]);
	expect(server.visit(1).header("Last-Event-ID")).toBe("k7f3q2xa-1");
});

test("a topic that is refused leaves the stream as it is", async () => {
	const { server, seen, live, want, stream } = await service("a");
	want("a", "secret");
	await until(() => stream.refused.has("secret"));
	expect(stream.refused.get("secret")?.status).toBe(403);
	live()[0]?.send(frame(2, "a"));
	await until(() => seen.texts.length === 1);
	expect(stream.status.state).toBe("open");
	expect(server.visit(0).gone).toBe(false);
});

test("of several topics those that are refused are found, at the beginning and later", async () => {
	const { live, want, stream } = await service();
	want("secret", "nonsense", "a");
	await until(() => stream.status.state === "open" && stream.refused.size === 2);
	expect([...stream.active]).toEqual(["a"]);
	want("a", "b", "secret", "nonsense", "worse");
	await until(() => stream.active.has("b") && stream.refused.size === 3);
	await until(() => live().length === 1);
	expect(live()[0]?.query.get("topics")).toBe("a,b");
	want("secret");
	await until(() => stream.refused.size === 1);
});

test("topics that are too many together give up the last, and nothing is asked in a loop", async () => {
	const { server, live, want, stream } = await service();
	want("a", "b", "c", "a:x");
	await until(() => stream.status.state === "open");
	expect([...stream.active]).toEqual(["a", "b", "c"]);
	expect([...stream.refused.keys()]).toEqual(["a:x"]);
	expect(server.visits).toHaveLength(6); // all, each alone, and those that fit
	expect(live()).toHaveLength(1);
});

test("where there is no room for a second stream the first makes way", async () => {
	const { server, state, seen, live, want, stream } = await service("a");
	const [usual] = server.answers;
	server.answers = [
		(visit) => (live().length > 0 ? visit.refuse(429, {}, { "Retry-After": "100" }) : usual?.(visit)),
	];
	state.head = "k7f3q2xa-4";
	want("a", "b");
	await until(() => stream.active.has("b"));
	live()[0]?.send(frame(5, "b"));
	await until(() => seen.texts.includes("b 5"));
});

test("a stream is opened anew for topics that tell how things are", async () => {
	const { server, seen, live, stream } = await service("a", "b");
	live()[0]?.send(frame(2, "a"));
	await until(() => seen.texts.length === 1);
	stream.refresh();
	await until(() => server.visits.length === 2 && live().length === 1);
	expect(server.visit(1).header("Last-Event-ID")).toBe("k7f3q2xa-2");
	live()[0]?.send(frame(3, "a"));
	await until(() => seen.texts.length === 2);
});

test("a stream that nobody wants is closed, and begins anew later", async () => {
	const { server, want, live, stream } = await service("a");
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
	onTestFinished(() => void vi.useRealTimers());
	want();
	vi.advanceTimersByTime(6000);
	vi.useRealTimers();
	await until(() => live().length === 0);
	want("b");
	await until(() => stream.active.has("b"));
	expect(server.visit(1).header("Last-Event-ID")).toBeUndefined();
});

test("an event is of the longest topic that its name begins with", () => {
	const topics = new Set(["app", "chat:a", "chat:a/b"]);
	expect(topicOf("app", topics)).toBe("app");
	expect(topicOf("app/x/y", topics)).toBe("app");
	expect(topicOf("chat:a/b", topics)).toBe("chat:a/b");
	expect(topicOf("chat:a/c", topics)).toBe("chat:a");
	expect(topicOf("apple", topics)).toBeUndefined();
});
