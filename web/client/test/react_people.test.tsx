// @vitest-environment jsdom
// usePresence and useGroupChat, as React renders them.
import { act, cleanup, configure, renderHook, waitFor } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, expect, test } from "vitest";
import { type GroupChatOptions, useGroupChat, usePresence } from "../src/react.ts";
import { serve, type Visit } from "./server.ts";

configure({ asyncUtilTimeout: 10_000 });
afterEach(cleanup);
const T = "2026-01-18T10:30:00.000Z";
const frame = (data: unknown, event?: string) =>
	`${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

const FRIENDS = {
	"2": { user_id: 2, is_online: true, last_activity: T },
	"3": { user_id: 3, is_online: false },
};

test("usePresence gives friends' states and follows their changes", async () => {
	const server = await serve((visit) =>
		visit.stream(
			frame({ user_id: 1, timestamp: T }, "presence/connected") +
				frame(FRIENDS, "presence/initial") +
				frame({ timestamp: T }, "presence/heartbeat"),
		),
	);
	const baseUrl = new URL(server.url).origin;
	const { result } = renderHook(() => usePresence({ token: "t", baseUrl }), { wrapper: StrictMode });
	expect(result.current).toMatchObject({ friends: {}, online: [], isConnected: false });
	await waitFor(() => expect(result.current.friends).toEqual(FRIENDS));
	expect(result.current.online).toEqual(["2"]);
	server.visit(0).send(frame({ user_id: 2, is_online: false, last_seen: T }, "presence/status_change"));
	server.visit(0).send(frame({ user_id: 3, is_online: true, last_activity: T }, "presence/status_change"));
	await waitFor(() => expect(result.current.online).toEqual(["3"]));
	expect(result.current.friends["2"]).toEqual({ user_id: 2, is_online: false, last_seen: T });
	expect(server.visits).toHaveLength(1);
	expect(server.visit(0).request.url).toBe("/v1/stream?topics=presence");
});

test("usePresence keeps what it saw last while it is not connected", async () => {
	const server = await serve(
		(visit) => visit.stream(frame(FRIENDS, "presence/initial")),
		(visit) => visit.refuse(503, {}, { "Retry-After": "100" }),
	);
	const baseUrl = new URL(server.url).origin;
	const { result } = renderHook(() => usePresence({ baseUrl, reconnectInterval: 100 }));
	await waitFor(() => expect(result.current.online).toEqual(["2"]));
	server.visit(0).end();
	await waitFor(() => expect(result.current.error?.status).toBe(503));
	expect(result.current).toMatchObject({ online: ["2"], isConnected: false, state: "waiting" });
});

/** A room: its stream, and turns that are answered with *frames*. */
async function room(...frames: unknown[]) {
	const turns: Visit[] = [];
	const bodies: unknown[] = [];
	const streams: Visit[] = [];
	const server = await serve((visit) => {
		if (visit.request.method === "GET") {
			streams.push(visit.stream());
			return;
		}
		turns.push(visit);
		let body = "";
		visit.request.setEncoding("utf8");
		visit.request.on("data", (text: string) => {
			body += text;
		});
		visit.request.on("end", () => {
			bodies.push(JSON.parse(body));
			visit.stream(frames.map((one) => frame(one)).join(""));
		});
	});
	const options = { roomId: "a room", token: "t", sender: "42", userName: "ada" };
	const baseUrl = new URL(server.url).origin;
	const say = (userId: string, username: string, message: string) =>
		streams[0]?.send(frame({ roomId: "a room", message, userId, username, timestamp: T }, "chat:a room"));
	const { result, unmount } = renderHook((given: GroupChatOptions) => useGroupChat(given), {
		initialProps: { ...options, baseUrl },
		wrapper: StrictMode,
	});
	await waitFor(() => expect(result.current.isConnected).toBe(true));
	return { server, turns, bodies, streams, result, unmount, say };
}

const MINE = { type: "user_message", content: "hi", sender: "ada", senderId: "42", timestamp: T };
const AI = { type: "ai_response", content: "hello", aiName: "Bo", aiId: "1", personaId: 1, timestamp: T };
const EXP = {
	type: "exp_updated",
	personaId: 1,
	personaName: "Bo",
	newExp: 150,
	newLevel: 2,
	expIncrease: 5,
	userId: "42",
};
const COMPLETE = { type: "complete", message: "done", timestamp: T };

test("useGroupChat sends, and gives answers and exp", async () => {
	const { result, bodies, turns, streams } = await room(MINE, AI, EXP, COMPLETE, "[DONE]");
	let taken: Promise<boolean> | undefined;
	act(() => {
		taken = result.current.send("hi");
	});
	await waitFor(() => expect(result.current.busy).toBe(true));
	await waitFor(() => expect(result.current.exp[1]?.level).toBe(2));
	await act(async () => turns[0]?.end());
	expect(await taken).toBe(true);
	await waitFor(() => expect(result.current.busy).toBe(false));
	expect(
		result.current.messages.map(({ kind, userId, name, content }) => [kind, userId, name, content]),
	).toEqual([
		["user", "42", "ada", "hi"],
		["ai", "ai:1", "Bo", "hello"],
	]);
	expect(result.current.exp).toEqual({
		"1": { personaId: 1, personaName: "Bo", exp: 150, level: 2, increase: 5 },
	});
	expect(bodies).toEqual([{ message: "hi", sender: "42", userName: "ada" }]);
	expect(turns[0]?.request.url).toBe("/api/chat/rooms/a%20room/group-sse");
	expect(turns[0]?.header("Authorization")).toBe("Bearer t");
	expect(streams[0]?.request.url).toBe("/v1/stream?topics=chat%3Aa%20room");
});

test("what both the turn and the room tell is shown once, whichever comes first", async () => {
	const { result, say, turns } = await room(MINE);
	say("42", "ada", "hi");
	await waitFor(() => expect(result.current.messages).toHaveLength(1));
	act(() => void result.current.send("hi"));
	await waitFor(() => expect(turns).toHaveLength(1));
	turns[0]?.send(frame(AI));
	await waitFor(() => expect(result.current.messages).toHaveLength(2));
	say("ai:1", "Bo", "hello");
	say("43", "cy", "me too");
	say("43", "cy", "me too");
	await waitFor(() => expect(result.current.messages).toHaveLength(4));
	expect(result.current.messages.map(({ name }) => name)).toEqual(["ada", "Bo", "cy", "cy"]);
	expect(new Set(result.current.messages.map(({ key }) => key)).size).toBe(4);
});

test("a member that fails and one that is late are told, and answers still come", async () => {
	const failed = { type: "error", message: "Bo can't answer now", timestamp: T };
	const { result } = await room(MINE, failed, AI, COMPLETE, "[DONE]");
	act(() => void result.current.send("hi"));
	await waitFor(() => expect(result.current.notice).toBe("Bo can't answer now"));
	await waitFor(() => expect(result.current.messages).toHaveLength(2));
});

test("a message that is refused is told as such", async () => {
	const { result, server } = await room();
	server.answers = [(visit) => visit.refuse(403)];
	await act(async () => expect(await result.current.send("hi")).toBe(false));
	await waitFor(() => expect(result.current.sendError?.status).toBe(403));
	expect(result.current).toMatchObject({ busy: false, messages: [] });
});

test("a message that the room may have or not is said again, with the same key", async () => {
	const { result, server } = await room();
	const turns: Visit[] = [];
	const unknown = (visit: Visit) => {
		turns.push(visit);
		visit.refuse(503, { outcome: "unknown" }, { "Retry-After": "0" });
	};
	const taken = (visit: Visit) => {
		turns.push(visit);
		visit.stream(`${frame(COMPLETE)}${frame("[DONE]")}`);
		visit.end();
	};
	const from = server.visits.length;
	server.answers = [...Array<typeof unknown>(from).fill(unknown), unknown, taken];
	await act(async () => expect(await result.current.send("hi")).toBe(true));
	expect(turns).toHaveLength(2);
	expect(turns[0]?.header("Idempotency-Key")).toMatch(/^[0-9a-f]{32}$/);
	expect(turns[1]?.header("Idempotency-Key")).toBe(turns[0]?.header("Idempotency-Key"));
});

test("a message that the room may have stays so, whatever later tries say", async () => {
	const { result, server } = await room();
	const outcomes = ["unknown", "not_published", "not_published"];
	server.answers = [
		(visit) => visit.refuse(503, { outcome: outcomes.shift() ?? "not_published" }, { "Retry-After": "0" }),
	];
	await act(async () => expect(await result.current.send("hi")).toBe(false));
	await waitFor(() => expect(result.current.sendError?.problem?.outcome).toBe("unknown"));
	expect(outcomes).toEqual([]);
});

test("a message that the room surely does not have is not said again", async () => {
	const { result, server } = await room();
	server.answers = [(visit) => visit.refuse(503, { outcome: "not_published" }, { "Retry-After": "0" })];
	await act(async () => expect(await result.current.send("hi")).toBe(false));
	await waitFor(() => expect(result.current.sendError?.problem?.outcome).toBe("not_published"));
});

test("a turn that breaks off before its end is told as such", async () => {
	const { result, turns } = await room(MINE);
	let taken: Promise<boolean> | undefined;
	act(() => {
		taken = result.current.send("hi");
	});
	await waitFor(() => expect(result.current.messages).toHaveLength(1));
	turns[0]?.cut();
	await act(async () => expect(await taken).toBe(false));
	await waitFor(() => expect(result.current.sendError?.code).toBe("network"));
});

test("unmounting ends the room's stream and the turn", async () => {
	const { result, turns, streams, unmount } = await room(MINE);
	act(() => void result.current.send("hi"));
	await waitFor(() => expect(result.current.messages).toHaveLength(1));
	unmount();
	await waitFor(() => expect(turns[0]?.gone && streams[0]?.gone).toBe(true));
});
