// @vitest-environment jsdom
// useSSE, as React renders it.
import { act, cleanup, configure, render, renderHook, waitFor } from "@testing-library/react";
import { StrictMode, Suspense, use, useState } from "react";
import { afterEach, expect, test } from "vitest";
import { type UseSSEOptions, useSSE } from "../src/react.ts";
import { serve } from "./server.ts";

configure({ asyncUtilTimeout: 10_000 });
afterEach(cleanup);
const strictly = { wrapper: StrictMode };

function watch(options: UseSSEOptions) {
	return renderHook((given: UseSSEOptions) => useSSE(given), { initialProps: options, ...strictly });
}

test("useSSE gives events with id and data, and tells that it is connected", async () => {
	const server = await serve((visit) => visit.stream('id: a-1\ndata: {"n":1}\n\nid: a-2\ndata: two\n\n'));
	const { result } = watch({ endpoint: server.url, token: "t" });
	expect(result.current).toMatchObject({ events: [], isConnected: false, error: null, state: "connecting" });
	await waitFor(() => expect(result.current.events).toHaveLength(2));
	expect(result.current.events.map(({ id, data }) => ({ id, data }))).toEqual([
		{ id: "a-1", data: { n: 1 } },
		{ id: "a-2", data: "two" },
	]);
	expect(result.current.isConnected).toBe(true);
	expect(server.visit(0).header("Authorization")).toBe("Bearer t");
});

test("useSSE under StrictMode opens one connection, and unmounting closes it", async () => {
	const server = await serve();
	const { result, unmount } = watch({ endpoint: server.url });
	await waitFor(() => expect(result.current.isConnected).toBe(true));
	expect(server.visits).toHaveLength(1);
	unmount();
	await waitFor(() => expect(server.visit(0).gone).toBe(true));
	expect(server.visits).toHaveLength(1);
});

test("components that name the same stream share a connection", async () => {
	const server = await serve((visit) => visit.stream());
	function Count({ name }: { name: string }) {
		const { events, isConnected } = useSSE({ endpoint: server.url, token: "t" });
		return <p>{`${name} ${isConnected} ${events.length}`}</p>;
	}
	const page = render(
		<StrictMode>
			<Count name="a" />
			<Count name="b" />
		</StrictMode>,
	);
	await waitFor(() => page.getByText("b true 0"));
	server.visit(0).send("data: 1\n\n");
	await waitFor(() => page.getByText("b true 1"));
	page.getByText("a true 1");
	expect(server.visits).toHaveLength(1);
	page.rerender(
		<StrictMode>
			<Count name="b" />
		</StrictMode>,
	);
	server.visit(0).send("data: 2\n\n");
	await waitFor(() => page.getByText(/^b true/));
	expect(server.visit(0).gone).toBe(false);
});

test("useSSE calls onConnect and onError, the newest ones", async () => {
	const server = await serve(
		(visit) => visit.stream(),
		(visit) => visit.refuse(403),
	);
	const said: string[] = [];
	const callbacks = (name: string) => ({
		onConnect: () => said.push(`${name} connected`),
		onError: ({ status }: { status: number }) => said.push(`${name} ${status}`),
	});
	const base = { endpoint: server.url, reconnectInterval: 100 };
	const { result, rerender } = watch({ ...base, ...callbacks("old") });
	await waitFor(() => expect(result.current.isConnected).toBe(true));
	rerender({ ...base, ...callbacks("new") });
	server.visit(0).end();
	await waitFor(() => expect(result.current.state).toBe("closed"));
	expect(said).toEqual(["old connected", "new 0", "new 403"]);
	expect(result.current.error?.message).toBe("403: because");
	expect(server.visits).toHaveLength(2);
});

test("useSSE that is not to reconnect stays closed", async () => {
	const server = await serve((visit) => visit.stream().end());
	const { result } = watch({ endpoint: server.url, reconnect: false });
	await waitFor(() => expect(result.current.state).toBe("closed"));
	expect(server.visits).toHaveLength(1);
});

test("retry begins a stream anew that an error ended", async () => {
	const server = await serve(
		(visit) => visit.refuse(404),
		(visit) => visit.stream("data: 1\n\n"),
	);
	const { result } = watch({ endpoint: server.url });
	await waitFor(() => expect(result.current.error?.status).toBe(404));
	act(() => result.current.retry());
	await waitFor(() => expect(result.current.events).toHaveLength(1));
	expect(result.current).toMatchObject({ isConnected: true, error: null });
});

test("useSSE holds the newest events up to its limit, and forgets them when told", async () => {
	const frames = Array.from({ length: 500 }, (_, n) => `id: ${n}\ndata: ${n}\n\n`).join("");
	const server = await serve((visit) => visit.stream(frames));
	const { result } = watch({ endpoint: server.url, limit: 3 });
	await waitFor(() => expect(result.current.events.map(({ data }) => data)).toEqual([497, 498, 499]));
	act(() => result.current.clear());
	await waitFor(() => expect(result.current.events).toEqual([]));
});

test("useSSE tells gaps", async () => {
	const gap = { reason: "unknown", requested: "x-1", resumed_from: null };
	const server = await serve((visit) => visit.stream(`event: sse.gap\ndata: ${JSON.stringify(gap)}\n\n`));
	const told: unknown[] = [];
	const { result } = watch({ endpoint: server.url, onGap: (it) => told.push(it) });
	await waitFor(() => expect(result.current.gaps).toEqual([gap]));
	expect(told).toEqual([gap]);
});

test("another endpoint or token is another stream, with nothing of the last", async () => {
	const server = await serve((visit) => visit.stream(`data: ${visit.request.url}\n\n`));
	const { result, rerender } = watch({ endpoint: `${server.url}?a`, token: "t" });
	await waitFor(() => expect(result.current.events).toHaveLength(1));
	rerender({ endpoint: `${server.url}?b`, token: "t" });
	expect(result.current.events).toEqual([]);
	await waitFor(() => expect(result.current.events.map(({ text }) => text)).toEqual(["/stream?b"]));
	await waitFor(() => expect(server.visit(0).gone).toBe(true));
});

test("a stream that is not enabled is not opened until it is", async () => {
	const server = await serve();
	const { result, rerender } = watch({ endpoint: server.url, enabled: false });
	expect(result.current.state).toBe("closed");
	rerender({ endpoint: server.url, enabled: true });
	await waitFor(() => expect(result.current.isConnected).toBe(true));
	expect(server.visits).toHaveLength(1);
});

test("a component that suspends beside its stream leaves no connection behind", async () => {
	const server = await serve();
	let ready: (text: string) => void = () => {};
	const text = new Promise<string>((resolve) => {
		ready = resolve;
	});
	function Slow() {
		const { isConnected } = useSSE({ endpoint: server.url });
		return <p>{`${use(text)} ${isConnected}`}</p>;
	}
	const page = await act(async () =>
		render(
			<StrictMode>
				<Suspense fallback="waiting">
					<Slow />
				</Suspense>
			</StrictMode>,
		),
	);
	page.getByText("waiting");
	expect(server.visits).toHaveLength(0);
	await act(async () => ready("done"));
	await waitFor(() => page.getByText("done true"));
	expect(server.visits).toHaveLength(1);
	page.unmount();
	await waitFor(() => expect(server.visit(0).gone).toBe(true));
});

test("a view that renders for its own reasons sees the same events value", async () => {
	const server = await serve((visit) => visit.stream("data: 1\n\n"));
	const seen = new Set<unknown>();
	let again: () => void = () => {};
	function View() {
		const [, setCount] = useState(0);
		again = () => setCount((count) => count + 1);
		const { events } = useSSE({ endpoint: server.url });
		if (events.length > 0) seen.add(events);
		return <p>{events.length}</p>;
	}
	const page = render(<View />);
	await waitFor(() => page.getByText("1"));
	act(() => again());
	act(() => again());
	expect(seen.size).toBe(1);
});
