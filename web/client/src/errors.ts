/**
 * What can go wrong with a stream or a command, and which of it is final.
 *
 * Knows HTTP's statuses and the service's problem documents (RFC 9457); knows no connection and no time.
 */

import type { Problem } from "./wire.ts";

export type ErrorCode =
	/** There was no answer, or it broke off. */
	| "network"
	/** An answer with a status other than 2xx: see `status` and `problem`. */
	| "http"
	/** An answer that is no event stream: something else listens there. */
	| "type"
	/** Three heartbeats did not come. */
	| "silent"
	/** The token has expired and there is no `getToken`, that failed to give one that is taken, or it fits in no header. */
	| "token"
	/** An event longer than any that the service sends. */
	| "too_long"
	/** Neither fetch streams nor EventSource are here. */
	| "unsupported";

export interface ErrorFacts {
	readonly status?: number | undefined;
	readonly problem?: Problem | undefined;
	readonly retryAfterMs?: number | undefined;
	readonly cause?: unknown;
}

/** Why a stream is not open. */
export class StreamError extends Error {
	override readonly name = "StreamError";
	readonly code: ErrorCode;
	/** The HTTP status, 0 where there was none. */
	readonly status: number;
	/** The problem document of the answer, where it was one; its `limit` says which limit a 429 is about. */
	readonly problem: Problem | undefined;
	/** `Retry-After` in milliseconds. */
	readonly retryAfterMs: number | undefined;

	constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
		super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
		this.code = code;
		this.status = facts.status ?? 0;
		this.problem = facts.problem;
		this.retryAfterMs = facts.retryAfterMs;
	}

	/** Whether asking again as it is can't help. */
	get final(): boolean {
		if (this.code === "http") return isFinal(this.status);
		return this.code !== "network" && this.code !== "silent";
	}
}

/** 401 is not final: a renewed token may be taken. */
function isFinal(status: number): boolean {
	if (status === 204) return true; // the standard's way to say: do not come back
	return status >= 400 && status < 500 && ![401, 408, 425, 429].includes(status);
}

/** The error that an answer is; its body is read. */
export async function errorOf(response: Response): Promise<StreamError> {
	const problem = await problemOf(response);
	const { headers } = response;
	// A date is of the service's clock: where it tells what that says, ours may be wrong.
	const now = Date.parse(headers.get("Date") ?? "") || Date.now();
	const retryAfterMs = parseRetryAfter(headers.get("Retry-After"), now);
	const message = problem?.detail || response.statusText || "no event stream";
	return new StreamError("http", `${response.status}: ${message}`, {
		status: response.status,
		problem,
		retryAfterMs,
	});
}

async function problemOf(response: Response): Promise<Problem | undefined> {
	// Whatever a proxy says instead may be of any length.
	if (!/json/i.test(response.headers.get("Content-Type") ?? "")) {
		await response.body?.cancel();
		return undefined;
	}
	try {
		const body: unknown = await response.json();
		return typeof body === "object" && body !== null && "detail" in body ? (body as Problem) : undefined;
	} catch {
		return undefined;
	}
}

/** `Retry-After` (RFC 9110, section 10.2.3: seconds or a date) in milliseconds from *now*. */
export function parseRetryAfter(value: string | null, now: number): number | undefined {
	if (value === null) return undefined;
	if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
	const at = Date.parse(value);
	return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
