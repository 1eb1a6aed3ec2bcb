// What forms are told of their requests, whatever answers.
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { curlOf } from "../src/api/curl.ts";

let answer: (response: ServerResponse) => void;
const server = createServer((_, response) => answer(response));

beforeEach(async () => {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const baseURI = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
	vi.stubGlobal("document", { baseURI, addEventListener: () => {} });
	vi.stubGlobal("requestAnimationFrame", (change: () => void) => setTimeout(change, 0));
	vi.resetModules();
});
afterEach(() => {
	vi.unstubAllGlobals();
	server.closeAllConnections();
	server.close();
});

async function send(token?: string) {
	const request = await import("../src/api/request.ts");
	return request.send({ method: "GET", path: "/somewhere" }, token);
}

test("a page that a proxy answers with is not taken for the service's", async () => {
	answer = (response) => response.setHeader("Content-Type", "text/html").end("<h1>Log in to the hotel</h1>");
	expect(await send()).toMatchObject({ ok: false, status: 200, problem: { detail: /is not the service/ } });
});

test("an answer without a body is one", async () => {
	answer = (response) => response.writeHead(204).end();
	expect(await send()).toEqual({ ok: true, status: 204, body: undefined });
});

test("a token that fits in no header is told as such, not as a service that is away", async () => {
	expect(await send("t🔑")).toMatchObject({ ok: false, problem: { detail: /The token is not valid/ } });
});

test("Retry-After is told, in seconds or as a date", async () => {
	answer = (response) => response.writeHead(429, { "Retry-After": "7" }).end("{}");
	expect(await send()).toMatchObject({ problem: { retryAfter: 7 } });
	const at = new Date(Date.now() + 90_000).toUTCString();
	answer = (response) => response.writeHead(503, { "Retry-After": at }).end("{}");
	const later = await send();
	expect(later.ok || later.problem.retryAfter).toBeGreaterThan(80);
});

test("a call that is anybody's carries no token, nor does its line for a shell", async () => {
	let carried: string | undefined = "nothing was asked";
	answer = (response) => {
		carried = response.req.headers.authorization;
		response.writeHead(204).end();
	};
	const call = { method: "GET", path: "/somewhere", anonymous: true };
	const request = await import("../src/api/request.ts");
	await request.send(call, "t");
	expect([carried, curlOf(call, "http://h")]).toEqual([undefined, "curl http://h/somewhere"]);
});

test("all faults of a body are told", async () => {
	const errors = [{ detail: "a: missing" }, { detail: "b: too long" }];
	answer = (response) => response.writeHead(422).end(JSON.stringify({ detail: "no", errors }));
	expect(await send()).toMatchObject({ problem: { detail: "a: missing; b: too long" } });
});

test("the error of a function is told by its type and message", async () => {
	const error = { type: "UNAUTHORIZED", message: "invalid signature" };
	answer = (response) => response.writeHead(401).end(JSON.stringify({ error }));
	expect(await send()).toMatchObject({ problem: { title: "UNAUTHORIZED", detail: "invalid signature" } });
});
