/**
 * One connection to one stream, from the request to its end: by fetch, or by native EventSource where a response's body
 * can't be read as it comes.
 *
 * Knows requests and answers; knows nothing of trying again, of tokens' renewal, or of what an event means.
 */

import { errorOf, StreamError } from "./errors.ts";
import { createParser, type ParserHandlers } from "./parser.ts";
import { MAX_URL_CHARS, splitTopics } from "./topic_query.ts";

export interface ConnectionHandlers extends ParserHandlers {
	/** The answer is an event stream. */
	onOpen(): void;
	/** Bytes came: the stream is alive. */
	onBytes?(): void;
}

export interface Request {
	readonly url: string;
	readonly method?: string | undefined;
	readonly body?: string | undefined;
	readonly headers?: Readonly<Record<string, string>> | undefined;
	readonly token?: string | undefined;
	readonly lastEventId?: string | undefined;
	readonly credentials?: RequestCredentials | undefined;
	/** Names of events to listen for; only EventSource has to know them beforehand. */
	readonly eventNames?: readonly string[] | undefined;
	readonly fetch?: typeof fetch | undefined;
}

/**
 * Open *request* and read it until it ends, which resolves.
 *
 * @throws {StreamError} It is no stream, or broke off; what *signal* aborted just ends.
 */
export function connect(request: Request, handlers: ConnectionHandlers, signal: AbortSignal): Promise<void> {
	if (request.fetch !== undefined || hasFetchStreams()) return byFetch(request, handlers, signal);
	if (typeof EventSource !== "undefined" && request.method === undefined) {
		return byEventSource(request, handlers, signal);
	}
	throw new StreamError("unsupported", "neither fetch streams nor EventSource are here");
}

/** Whether a response can be read as it comes. */
export function hasFetchStreams(): boolean {
	return typeof fetch === "function" && typeof ReadableStream === "function" && "body" in Response.prototype;
}

async function byFetch(given: Request, handlers: ConnectionHandlers, signal: AbortSignal): Promise<void> {
	const request = fitting(given);
	try {
		const response = await (request.fetch ?? fetch)(request.url, {
			method: request.method ?? "GET",
			headers: headersOf(request),
			credentials: request.credentials ?? "same-origin",
			cache: "no-store",
			signal,
			...(request.body === undefined ? {} : { body: request.body }),
		});
		await checkIsStream(response);
		if (signal.aborted) return;
		handlers.onOpen();
		await read(response, createParser(handlers, request.lastEventId).push, handlers, signal);
	} catch (error) {
		if (signal.aborted) return;
		throw asStreamError(error);
	}
}

/** *request*, as a POST where its topics are more than a URL should hold. */
function fitting(request: Request): Request {
	if (request.method !== undefined || request.url.length <= MAX_URL_CHARS) return request;
	const parts = splitTopics(request.url);
	if (parts === null) return request;
	return { ...request, url: parts.base, method: "POST", body: JSON.stringify({ topics: parts.topics }) };
}

function headersOf(request: Request): Headers {
	const headers: Record<string, string> = { Accept: "text/event-stream", ...request.headers };
	if (request.token) headers.Authorization = `Bearer ${request.token}`;
	if (request.lastEventId) headers["Last-Event-ID"] = bytesOf(request.lastEventId);
	if (request.body !== undefined) headers["Content-Type"] ??= "application/json";
	try {
		return new Headers(headers);
	} catch (cause) {
		throw new StreamError("token", "the token fits in no header", { cause });
	}
}

/** A header is bytes, each a character here; the standard has the last id in UTF-8. */
function bytesOf(text: string): string {
	return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

async function checkIsStream(response: Response): Promise<void> {
	if (response.status !== 200) throw await errorOf(response);
	const type = response.headers.get("Content-Type") ?? "";
	if (type.split(";")[0]?.trim().toLowerCase() === "text/event-stream" && response.body !== null) return;
	await response.body?.cancel();
	throw new StreamError("type", `not an event stream: ${type || "no Content-Type"}`, { status: 200 });
}

async function read(
	response: Response,
	push: (chunk: Uint8Array) => void,
	handlers: ConnectionHandlers,
	signal: AbortSignal,
): Promise<void> {
	const reader = (response.body as ReadableStream<Uint8Array>).getReader();
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done || signal.aborted) return;
			handlers.onBytes?.();
			push(value);
		}
	} finally {
		reader.cancel().catch(() => {}); // whatever ended it, the socket goes back
	}
}

function asStreamError(error: unknown): StreamError {
	if (error instanceof StreamError) return error;
	if (error instanceof RangeError) return new StreamError("too_long", error.message, { cause: error });
	return new StreamError("network", error instanceof Error ? error.message : String(error), { cause: error });
}

/** The token and the last id go into the URL: EventSource can set no headers, and tells no status. */
function byEventSource(request: Request, handlers: ConnectionHandlers, signal: AbortSignal): Promise<void> {
	const url = new URL(request.url, typeof location === "undefined" ? undefined : location.href);
	if (request.token) url.searchParams.set("token", request.token);
	if (request.lastEventId) url.searchParams.set("lastEventId", request.lastEventId);
	const source = new EventSource(url.href, { withCredentials: request.credentials === "include" });
	return new Promise((resolve, reject) => {
		const take = (event: MessageEvent<string>) => {
			handlers.onBytes?.();
			const { type, data, lastEventId } = event;
			if (lastEventId) handlers.onPosition?.(lastEventId);
			handlers.onEvent({ event: type, data, id: lastEventId, lastEventId });
		};
		for (const name of new Set(["message", "sse.gap", "sse.expired", ...(request.eventNames ?? [])])) {
			source.addEventListener(name, take);
		}
		source.onopen = () => handlers.onOpen();
		// It would come back by itself, but without a new token or growing waits, and never after a 429 or 503.
		source.onerror = () => {
			source.close();
			reject(new StreamError("network", "the EventSource broke off"));
		};
		signal.addEventListener("abort", () => {
			source.close();
			resolve();
		});
	});
}
