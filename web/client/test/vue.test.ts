// @vitest-environment jsdom
// The composables, as Vue runs them.
import { expect, onTestFinished, test } from "vitest";
import { createApp, defineComponent, effectScope, h, nextTick, ref } from "vue";
import { useGroupChat, usePresence, useSSE } from "../src/vue.ts";
import { serve } from "./server.ts";
import { until } from "./until.ts";

/** A mounted component with *setup*; it shows what that gives as text. */
function mount(setup: () => () => unknown) {
	const element = document.createElement("div");
	const app = createApp(
		defineComponent(() => {
			const text = setup();
			return () => h("p", String(text()));
		}),
	);
	app.mount(element);
	onTestFinished(() => app.unmount());
	return { app, text: () => element.textContent };
}

test("useSSE shows events, and unmounting closes the connection", async () => {
	const server = await serve((visit) => visit.stream('id: 1\ndata: {"n":1}\n\n'));
	const { app, text } = mount(() => {
		const { events, isConnected } = useSSE<{ n: number }>({ endpoint: server.url, token: "t" });
		return () => `${isConnected.value} ${events.value.map(({ id, data }) => `${id}:${data.n}`)}`;
	});
	expect(text()).toBe("false ");
	await until(() => text() === "true 1:1");
	expect(server.visit(0).header("Authorization")).toBe("Bearer t");
	app.unmount();
	await until(() => server.visit(0).gone);
});

test("useSSE follows options that change, and calls the newest callbacks", async () => {
	const server = await serve((visit) => visit.stream(`data: "${visit.request.url}"\n\n`));
	const path = ref("?a");
	const said: string[] = [];
	const { text } = mount(() => {
		const { events } = useSSE(() => {
			const name = path.value;
			return { endpoint: server.url + name, onConnect: () => said.push(name) };
		});
		return () => events.value.map(({ data }) => data);
	});
	await until(() => text() === "/stream?a");
	path.value = "?b";
	await nextTick();
	expect(text()).toBe("");
	await until(() => text() === "/stream?b");
	await until(() => server.visit(0).gone);
	expect(said).toEqual(["?a", "?b"]);
});

test("composables share a connection, outside of components too", async () => {
	const server = await serve();
	const scope = effectScope();
	onTestFinished(() => scope.stop());
	const [first, second] = scope.run(() => [
		useSSE({ endpoint: server.url }),
		useSSE({ endpoint: server.url }),
	]) as [ReturnType<typeof useSSE>, ReturnType<typeof useSSE>];
	await until(() => first.isConnected.value && second.isConnected.value);
	expect(server.visits).toHaveLength(1);
	scope.stop();
	await until(() => server.visit(0).gone);
});

test("usePresence and useGroupChat give what their React namesakes do", async () => {
	const friends = { "2": { user_id: 2, is_online: true, last_activity: "t" } };
	const server = await serve((visit) => {
		if (visit.request.method === "POST") visit.stream('data: {"type":"complete"}\n\ndata: [DONE]\n\n').end();
		else visit.stream(`event: presence/initial\ndata: ${JSON.stringify(friends)}\n\n`);
	});
	const baseUrl = new URL(server.url).origin;
	const scope = effectScope();
	onTestFinished(() => scope.stop());
	const presence = scope.run(() => usePresence(ref({ token: "t", baseUrl })));
	await until(() => presence?.online.value.join() === "2");
	const chat = scope.run(() =>
		useGroupChat({ roomId: "r", token: "t", sender: "1", userName: "u", baseUrl }),
	);
	expect(await chat?.send("hi")).toBe(true);
	await until(() => chat?.busy.value === false && chat.isConnected.value);
});
