// @vitest-environment jsdom
// Components come and go all day: what they leave behind adds up.
import { render } from "@testing-library/react";
import { StrictMode } from "react";
import { expect, test, vi } from "vitest";
import { useGroupChat, usePresence, useSSE } from "../src/react.ts";
import { FakeLocks } from "./locks.ts";
import { serve } from "./server.ts";

const ROUNDS = 100;
/** What the client listens to; React has its own. */
const OURS = ["online", "pageshow", "pagehide", "visibilitychange", "freeze", "resume"];

function Everything({ base, token }: { base: string; token: string }) {
	const { isConnected } = useSSE({ endpoint: `${base}/v1/stream?topics=app`, token });
	const own = useSSE({ endpoint: `${base}/v1/app/sse`, token });
	usePresence({ baseUrl: base, token });
	useGroupChat({ baseUrl: base, roomId: "general", token, sender: "1", userName: "Ada" });
	return <p>{`${isConnected} ${own.isConnected}`}</p>;
}

/** Event listeners that were added and not taken away again, of window and document. */
function countListeners(): () => string[] {
	const held: string[] = [];
	for (const target of [window, document] as EventTarget[]) {
		const [add, remove] = [target.addEventListener.bind(target), target.removeEventListener.bind(target)];
		vi.spyOn(target, "addEventListener").mockImplementation((name, ...rest) => {
			held.push(name);
			add(name, ...rest);
		});
		vi.spyOn(target, "removeEventListener").mockImplementation((name, ...rest) => {
			const at = held.indexOf(name);
			if (at >= 0) held.splice(at, 1);
			remove(name, ...rest);
		});
	}
	return () => held;
}

test("views that come and go leave no connection, timer, listener, channel or lock behind", async () => {
	const locks = new FakeLocks();
	Object.defineProperty(navigator, "locks", { value: locks, configurable: true });
	let channels = 0;
	class CountedChannel extends BroadcastChannel {
		constructor(name: string) {
			super(name);
			channels += 1;
		}
		override close(): void {
			channels -= 1;
			super.close();
		}
	}
	vi.stubGlobal("BroadcastChannel", CountedChannel);
	const server = await serve((visit) => visit.stream("retry: 100\nid: e-1\n\n"));
	const base = server.url.replace("/stream", "");
	const listeners = countListeners();
	const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
	await new Promise((resolve) => setTimeout(resolve, 50));
	const before = timers();

	for (let round = 0; round < ROUNDS; round++) {
		const view = render(
			<StrictMode>
				<Everything base={base} token={`token ${round % 5}`} />
			</StrictMode>,
		);
		if (round % 20 === 0) await vi.waitFor(() => view.getByText("true true"), { timeout: 10_000 });
		else if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 3)); // amid its beginning
		view.unmount();
	}

	const left = async () => ({
		connections: server.visits.filter(({ gone }) => !gone).length,
		locks: (await locks.query()).held.length,
		listeners: listeners().filter((name) => OURS.includes(name)),
		channels,
		timers: Math.max(0, timers() - before), // vitest ends some of its own
	});
	const none = { connections: 0, locks: 0, listeners: [], channels: 0, timers: 0 };
	// Not by vi.waitFor, which has a timer of its own.
	const until = Date.now() + 10_000;
	while (Date.now() < until && JSON.stringify(await left()) !== JSON.stringify(none)) {
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	expect(await left()).toEqual(none);
	expect(server.visits.length).toBeGreaterThan(10);
}, 60_000);
