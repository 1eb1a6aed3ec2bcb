// Requests to the service: JSON out, an answer in, and a log of them for the inspector. Never throws: what went
// wrong is part of the answer, for a form to show.

import { parseRetryAfter } from "sse-push-client";
import { Feed } from "../live/feed.ts";
import type { Call } from "./curl.ts";

export interface Problem {
	readonly title: string;
	readonly detail: string;
	readonly requestId: string | undefined;
	readonly limit: string | undefined;
	/** Seconds after which to try again, where the service said. */
	readonly retryAfter: number | undefined;
}

export type Answer<Body = unknown> =
	| { readonly ok: true; readonly status: number; readonly body: Body }
	| { readonly ok: false; readonly status: number; readonly problem: Problem };

export interface Logged {
	readonly seq: number;
	readonly at: number;
	readonly call: Call;
	/** 0 where there was no answer. */
	readonly status: number;
	readonly ms: number;
	readonly said: string | undefined;
}

/** The newest requests of this tab. */
export const requests = new Feed<Logged>(200);

/** Where the service is: beside this page, under whatever path a proxy gives it. */
export const base = new URL(".", document.baseURI).href.replace(/\/$/, "");

export async function send<Body = unknown>(call: Call, token: string | undefined): Promise<Answer<Body>> {
	const started = performance.now();
	const answer = await attempt<Body>(call, token);
	note(call, started, answer.status, answer.ok ? undefined : answer.problem.detail || answer.problem.title);
	return answer;
}

/** Put a request into the log that another part has made. */
export function note(call: Call, started: number, status: number, said: string | undefined): void {
	requests.push((seq) => ({
		seq,
		at: Date.now(),
		call,
		status,
		ms: Math.round(performance.now() - started),
		said,
	}));
}

/** Undefined where the token holds what no header may. */
function headersFor(call: Call, token: string | undefined): Headers | undefined {
	const headers = new Headers(call.headers);
	if (call.body !== undefined) headers.set("Content-Type", "application/json");
	try {
		if (token !== undefined && !call.anonymous) headers.set("Authorization", `Bearer ${token}`);
	} catch {
		return undefined;
	}
	return headers;
}

async function attempt<Body>(call: Call, token: string | undefined): Promise<Answer<Body>> {
	const headers = headersFor(call, token);
	if (headers === undefined) return refusal(0, "The token is not valid: it fits in no header.");
	try {
		const response = await fetch(base + call.path, {
			method: call.method,
			headers,
			credentials: "omit",
			...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
		});
		const text = await response.text();
		const body = parsed(text);
		if (response.ok && text && body === undefined)
			return refusal(response.status, "What answered is not the service: its answer is no JSON.");
		if (response.ok) return { ok: true, status: response.status, body: body as Body };
		return {
			ok: false,
			status: response.status,
			problem: problemOf(response.status, body, retryAfterOf(response)),
		};
	} catch {
		return refusal(0, "The service is not reachable just now.");
	}
}

function refusal(status: number, detail: string): Answer<never> {
	const title = status ? `Status ${status}` : "No answer";
	return { ok: false, status, problem: { title, detail, ...NOTHING } };
}

const NOTHING = { requestId: undefined, limit: undefined, retryAfter: undefined };

function parsed(text: string): unknown {
	try {
		return text ? JSON.parse(text) : undefined;
	} catch {
		return undefined;
	}
}

/**
 * What a problem document says.
 *
 * @param body The document, or whatever else came with *status*.
 */
export function problemOf(status: number, body: unknown, retryAfterMs: number | undefined): Problem {
	const said = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
	const text = (value: unknown) => (typeof value === "string" ? value : undefined);
	const errors = Array.isArray(said.errors)
		? said.errors.map((one) => text(one?.detail)).filter(Boolean)
		: [];
	// Functions have a form of their own.
	const failure = (said.error ?? {}) as { readonly type?: unknown; readonly message?: unknown };
	return {
		title: text(said.title) ?? text(failure.type) ?? `Status ${status}`,
		detail: errors.length ? errors.join("; ") : (text(said.detail) ?? text(failure.message) ?? ""),
		requestId: text(said.request_id),
		limit: text(said.limit),
		retryAfter: retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs / 1000),
	};
}

function retryAfterOf(response: Response): number | undefined {
	return parseRetryAfter(response.headers.get("Retry-After"), Date.now());
}
