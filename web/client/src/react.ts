/**
 * React hooks: each is a value of the core, watched by `useSyncExternalStore`.
 *
 * Knows React; everything that is not React's business is the core's (feed.ts, presence.ts, group_chat.ts).
 */

import { useEffect, useState, useSyncExternalStore } from "react";
import { Feed, type FeedCallbacks, type FeedOptions, type FeedSnapshot } from "./feed.ts";

export interface UseSSEOptions<Data = unknown> extends FeedOptions, FeedCallbacks<Data> {}

export interface UseSSE<Data = unknown> extends FeedSnapshot<Data> {
	/** Forget the events and gaps held. */
	clear(): void;
	/** Try at once rather than when the wait is over; a stream that an error ended begins anew. */
	retry(): void;
}

/** The newest events of a stream, and how it is. Components that name the same stream share one connection. */
export function useSSE<Data = unknown>(options: UseSSEOptions<Data>): UseSSE<Data> {
	const { endpoint, token, user, reconnect, reconnectInterval, limit, enabled } = options;
	const key = JSON.stringify([endpoint, token, user, reconnect, reconnectInterval, limit, enabled]);
	const feed = useKept(key, () => new Feed<Data>(options));
	useEffect(() => {
		feed.callbacks = options;
	});
	const snapshot = useSyncExternalStore(feed.watch, feed.snapshot, feed.snapshot);
	return { ...snapshot, clear: feed.clear, retry: feed.retry };
}

/** What *make* made, for as long as *key* stays the same. Unlike a memo it is not made again at React's leisure. */
function useKept<Value>(key: string, make: () => Value): Value {
	const [kept, keep] = useState(() => ({ key, value: make() }));
	if (kept.key === key) return kept.value;
	const next = { key, value: make() };
	keep(next);
	return next.value;
}
