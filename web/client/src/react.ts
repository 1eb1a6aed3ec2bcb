/**
 * React hooks: each is a value of the core, watched by `useSyncExternalStore`.
 *
 * Knows React; everything that is not React's business is the core's (feed.ts, presence.ts, group_chat.ts).
 */

import { useEffect, useState, useSyncExternalStore } from "react";
import { Feed, type FeedCallbacks, type FeedOptions, type FeedSnapshot } from "./feed.ts";
import { GroupChat, type GroupChatOptions, type GroupChatSnapshot } from "./group_chat.ts";
import { feedKey, groupChatKey, presenceKey } from "./keys.ts";
import { Presence, type PresenceOptions, type PresenceSnapshot } from "./presence.ts";

export type { Experience, GroupChatOptions, GroupMessage } from "./group_chat.ts";
export type { PresenceOptions } from "./presence.ts";
export type { FriendStatus } from "./wire.ts";

export interface UseSSEOptions<Data = unknown> extends FeedOptions, FeedCallbacks<Data> {}

export interface UseSSE<Data = unknown> extends FeedSnapshot<Data> {
	/** Forget the events and gaps held. */
	clear(): void;
	/** Try at once rather than when the wait is over; a stream that an error ended begins anew. */
	retry(): void;
}

/** The newest events of a stream, and how it is. Components that name the same stream share one connection. */
export function useSSE<Data = unknown>(options: UseSSEOptions<Data>): UseSSE<Data> {
	const feed = useKept(feedKey(options), () => new Feed<Data>(options));
	useEffect(() => {
		feed.callbacks = options;
	});
	const snapshot = useSyncExternalStore(feed.watch, feed.snapshot, feed.snapshot);
	return { ...snapshot, clear: feed.clear, retry: feed.retry };
}

export interface UsePresence extends PresenceSnapshot {
	retry(): void;
}

/** Friends and which of them are online. */
export function usePresence(token: string | undefined | PresenceOptions): UsePresence {
	const options = typeof token === "object" ? token : { token };
	const presence = useKept(presenceKey(options), () => new Presence(options));
	useEffect(() => {
		presence.callbacks = options;
	});
	const snapshot = useSyncExternalStore(presence.watch, presence.snapshot, presence.snapshot);
	return { ...snapshot, retry: presence.retry };
}

export interface UseGroupChat extends GroupChatSnapshot {
	/** Say something; resolves to whether it was taken, when all have answered or failed. */
	send(message: string): Promise<boolean>;
	retry(): void;
}

/** A room with AI members. */
export function useGroupChat(options: GroupChatOptions): UseGroupChat {
	const chat = useKept(groupChatKey(options), () => new GroupChat(options));
	useEffect(() => {
		chat.callbacks = options;
	});
	const snapshot = useSyncExternalStore(chat.watch, chat.snapshot, chat.snapshot);
	return { ...snapshot, send: chat.send, retry: chat.retry };
}

/** What *make* made, for as long as *key* stays the same. Unlike a memo it is not made again at React's leisure. */
function useKept<Value>(key: string, make: () => Value): Value {
	const [kept, keep] = useState(() => ({ key, value: make() }));
	if (kept.key === key) return kept.value;
	const next = { key, value: make() };
	keep(next);
	return next.value;
}
