/**
 * Streams shared within a page: who asks for the same stream gets the same connection, counted, and closed after the
 * last has gone.
 *
 * Knows which streams are the same; what a stream does is stream.ts's business, sharing between tabs that of hub.ts.
 */

import { guarded } from "./events.ts";
import type { GetToken, Stream, StreamOptions, StreamStatus } from "./options.ts";
import { openStream } from "./stream.ts";

export interface SharedOptions extends StreamOptions {
	/** What tells users apart where `getToken` gives the tokens, a user id for instance. The token by default. */
	readonly user?: string | undefined;
	/** The stream must begin after this call: its topics tell how things are when they begin. */
	readonly fresh?: boolean | undefined;
}

/**
 * Milliseconds that a stream outlives its last listener: React's StrictMode and a change of pages let go of a stream and
 * take it again.
 */
export const LINGER_MS = 250;

const CALLBACKS = ["onEvent", "onGap", "onExpired", "onState", "onPosition", "onFrame"] as const;
type Callbacks = Pick<StreamOptions, (typeof CALLBACKS)[number] | "getToken">;

interface Shared {
	readonly stream: Stream;
	readonly listeners: Set<{ readonly callbacks: Callbacks }>;
	lingering: ReturnType<typeof setTimeout> | undefined;
}

const shared = new Map<string, Shared>();

/**
 * Take part in a stream: as `openStream`, but that `close` gives up one's own part alone.
 *
 * Of two who differ only in their callbacks (`getToken` is one), the newest's `getToken` is asked.
 */
export function shareStream(
	options: SharedOptions,
	open: (options: SharedOptions) => Stream = openStream,
): Stream {
	const key = keyOf(options);
	const known = shared.get(key);
	const it = known ?? begin(key, options, open);
	const listener = { callbacks: options };
	clearTimeout(it.lingering);
	it.listeners.add(listener);
	if (known !== undefined) {
		if (options.fresh && it.stream.status.state === "open") it.stream.reconnect();
		queueMicrotask(() => it.listeners.has(listener) && guarded(() => options.onState?.(it.stream.status)));
	}
	return {
		get status() {
			return it.listeners.has(listener) ? it.stream.status : CLOSED;
		},
		get lastEventId() {
			return it.stream.lastEventId;
		},
		reconnect: () => it.stream.reconnect(),
		wake: () => it.stream.wake(),
		close: () => {
			if (!it.listeners.delete(listener)) return;
			guarded(() => options.onState?.(CLOSED));
			if (it.listeners.size === 0) linger(key, it);
		},
	};
}

const CLOSED: StreamStatus = { state: "closed", failures: 0, retryAt: null, error: null };

function keyOf(options: SharedOptions): string {
	const { url, token, user, getToken, lastEventId, reconnect, minMs, headers, credentials } = options;
	const whose = getToken === undefined || user === undefined ? { token } : { user };
	return JSON.stringify([String(url), whose, lastEventId, reconnect, minMs, headers, credentials]);
}

function begin(key: string, options: SharedOptions, open: (options: SharedOptions) => Stream): Shared {
	const listeners: Shared["listeners"] = new Set();
	const all: Record<string, (value: never) => void> = {};
	for (const name of CALLBACKS) {
		all[name] = (value) => {
			for (const { callbacks } of [...listeners]) guarded(() => callbacks[name]?.(value));
		};
	}
	const { getToken } = options;
	const newest: GetToken | undefined =
		getToken && ((...asked) => ([...listeners].pop()?.callbacks.getToken ?? getToken)(...asked));
	const it: Shared = {
		...{ listeners, lingering: undefined },
		stream: open({ ...options, ...all, getToken: newest }),
	};
	shared.set(key, it);
	return it;
}

function linger(key: string, it: Shared): void {
	it.lingering = setTimeout(() => {
		shared.delete(key);
		it.stream.close();
	}, LINGER_MS);
}
