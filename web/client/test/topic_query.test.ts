// Topics in a URL: of any name, as the service reads them; and in a body where they are too many.
import { expect, test } from "vitest";
import { MAX_URL_CHARS, splitTopics, withTopics } from "../src/topic_query.ts";
import { open } from "./seen.ts";
import { serve } from "./server.ts";
import { until } from "./until.ts";

const URL_ = "https://push.example/v1/stream";

test("topics of any name come back from the URL they were put into", () => {
	const topics = [
		"app",
		"chat:a,b",
		"chat:a+b",
		"chat:a b",
		"chat:a&topics=x",
		"chat:100%",
		"chat:a%2Cb",
		"chat:ä#?",
		"chat:,",
	];
	expect(splitTopics(withTopics(`${URL_}?x=1`, topics))).toEqual({ base: `${URL_}?x=1`, topics });
	expect(splitTopics(withTopics(URL_, topics))).toEqual({ base: URL_, topics });
});

test.each([
	["topics=app,chat:a%2Cb,app", ["app", "chat:a,b"]],
	["topics=app&topics=chat:a&x=", ["app", "chat:a"]],
	["topics=app%2Cchat%3Aa", ["app", "chat:a"]],
	["topics=chat:50%", ["chat:50%"]],
	["topics=chat:a+b", ["chat:a b"]],
])("%s is read as the service reads it", (query, topics) => {
	expect(splitTopics(`${URL_}?${query}`)?.topics).toEqual(topics);
});

test.each([URL_, `${URL_}?topics=`, `${URL_}?x=1`, "https://push.example/v1/app/sse?topics=app"])(
	"%s names no topics",
	(url) => {
		expect(splitTopics(url)).toBeNull();
	},
);

test("topics that are too long for a URL go in the body of a POST", async () => {
	const server = await serve((visit) => visit.stream());
	const topics = Array.from({ length: 32 }, (_, number) => `chat:${"é,".repeat(40)}${number}`);
	const url = withTopics(server.url.replace(/\/stream$/, "/v1/stream?x=1"), topics);
	expect(url.length).toBeGreaterThan(MAX_URL_CHARS);
	open({ ...server, url } as typeof server);
	await until(() => server.visits.length === 1);
	const { request } = server.visit(0);
	let body = "";
	for await (const part of request) body += part;
	expect([request.method, request.url]).toEqual(["POST", "/v1/stream?x=1"]);
	expect(request.headers["content-type"]).toBe("application/json");
	expect(JSON.parse(body)).toEqual({ topics });
});

test("topics that fit a URL stay there", async () => {
	const server = await serve((visit) => visit.stream());
	open({
		...server,
		url: server.url.replace(/\/stream$/, "/v1/stream?topics=app,chat:a%2Cb"),
	} as typeof server);
	await until(() => server.visits.length === 1);
	expect([server.visit(0).request.method, server.visit(0).request.url]).toEqual([
		"GET",
		"/v1/stream?topics=app,chat:a%2Cb",
	]);
});
