/** A real HTTP server for the tests of streams: it answers as told, and remembers who asked. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export class Visit {
	readonly request: IncomingMessage;
	readonly response: ServerResponse;
	gone = false;

	constructor(request: IncomingMessage, response: ServerResponse) {
		this.request = request;
		this.response = response;
		response.on("close", () => {
			this.gone = true;
		});
	}

	header(name: string): string | undefined {
		const value = this.request.headers[name.toLowerCase()];
		return Array.isArray(value) ? value.join(",") : value;
	}

	get query(): URLSearchParams {
		return new URL(this.request.url ?? "", "http://here").searchParams;
	}

	/** Begin an event stream, with these frames. */
	stream(frames = "retry: 100\n\n"): this {
		this.response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
		return this.send(frames);
	}

	send(frames: string): this {
		this.response.write(frames);
		return this;
	}

	end(): void {
		this.response.end();
	}

	/** Break the connection off. */
	cut(): void {
		this.response.destroy();
	}

	refuse(status: number, more: Record<string, unknown> = {}, headers: Record<string, string> = {}): void {
		this.response.writeHead(status, { "Content-Type": "application/problem+json", ...headers });
		const document = { type: "about:blank", title: "no", status, detail: "because", request_id: "r" };
		this.response.end(JSON.stringify({ ...document, ...more }));
	}
}

export class TestServer {
	readonly visits: Visit[] = [];
	url = "";
	/** What to do with the visits, in their order; the last one stays. */
	answers: Array<(visit: Visit) => void> = [(visit) => visit.stream()];

	visit(number: number): Visit {
		const visit = this.visits[number];
		if (visit === undefined) throw new Error(`only ${this.visits.length} came`);
		return visit;
	}
}

export async function serve(...answers: Array<(visit: Visit) => void>): Promise<TestServer> {
	const it = new TestServer();
	if (answers.length > 0) it.answers = answers;
	const server = createServer((request, response) => {
		const visit = new Visit(request, response);
		const answer = it.answers[Math.min(it.visits.length, it.answers.length - 1)];
		it.visits.push(visit);
		answer?.(visit);
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	it.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/stream`;
	onTestFinished(() => {
		server.closeAllConnections();
		server.close();
	});
	return it;
}
