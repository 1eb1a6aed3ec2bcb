/**
 * Vue composables: each is a value of the core in refs, for as long as the component or effect scope lives.
 *
 * Knows Vue; everything that is not Vue's business is the core's (feed.ts, presence.ts, group_chat.ts).
 */

import {
	type ComputedRef,
	computed,
	getCurrentInstance,
	type MaybeRefOrGetter,
	onMounted,
	onScopeDispose,
	shallowRef,
	toValue,
	watch,
} from "vue";
import { Feed, type FeedCallbacks, type FeedOptions, type FeedSnapshot } from "./feed.ts";
import { GroupChat, type GroupChatOptions, type GroupChatSnapshot } from "./group_chat.ts";
import { feedKey, groupChatKey, presenceKey } from "./keys.ts";
import { Presence, type PresenceOptions, type PresenceSnapshot } from "./presence.ts";
import type { Store } from "./store.ts";

export type { Experience, GroupChatOptions, GroupMessage } from "./group_chat.ts";
export type { PresenceOptions } from "./presence.ts";
export type { FriendStatus } from "./wire.ts";

/** Each field as a ref of its own. */
export type Refs<Value> = { readonly [Name in keyof Value]: ComputedRef<Value[Name]> };

export interface UseSSEOptions<Data = unknown> extends FeedOptions, FeedCallbacks<Data> {}

export interface UseSSE<Data = unknown> extends Refs<FeedSnapshot<Data>> {
	/** Forget the events and gaps held. */
	clear(): void;
	/** Try at once rather than when the wait is over; a stream that an error ended begins anew. */
	retry(): void;
}

/** The newest events of a stream, and how it is. Who names the same stream shares one connection. */
export function useSSE<Data = unknown>(options: MaybeRefOrGetter<UseSSEOptions<Data>>): UseSSE<Data> {
	const [refs, feed] = useStore<FeedSnapshot<Data>, UseSSEOptions<Data>, Feed<Data>>(
		...([options, feedKey, (its: UseSSEOptions<Data>) => new Feed<Data>(its)] as const),
		["events", "gaps", "state", "isConnected", "retryAt", "error"],
	);
	return { ...refs, clear: () => feed().clear(), retry: () => feed().retry() };
}

export interface UsePresence extends Refs<PresenceSnapshot> {
	retry(): void;
}

/** Friends and which of them are online. */
export function usePresence(token: MaybeRefOrGetter<string | undefined | PresenceOptions>): UsePresence {
	const options = () => {
		const its = toValue(token);
		return typeof its === "object" ? its : { token: its };
	};
	const [refs, presence] = useStore<PresenceSnapshot, PresenceOptions, Presence>(
		...([options, presenceKey, (its: PresenceOptions) => new Presence(its)] as const),
		["friends", "online", "state", "isConnected", "retryAt", "error"],
	);
	return { ...refs, retry: () => presence().retry() };
}

export interface UseGroupChat extends Refs<GroupChatSnapshot> {
	/** Say something; resolves to whether it was taken, when all have answered or failed. */
	send(message: string): Promise<boolean>;
	retry(): void;
}

/** A room with AI members. */
export function useGroupChat(options: MaybeRefOrGetter<GroupChatOptions>): UseGroupChat {
	const [refs, chat] = useStore<GroupChatSnapshot, GroupChatOptions, GroupChat>(
		...([options, groupChatKey, (its: GroupChatOptions) => new GroupChat(its)] as const),
		["messages", "exp", "busy", "notice", "sendError", "state", "isConnected", "retryAt", "error"],
	);
	return { ...refs, send: (message) => chat().send(message), retry: () => chat().retry() };
}

/** The fields of a store that is made anew when the key of its options changes. */
function useStore<Value extends object, Options, Its extends Store<Value> & { callbacks: object }>(
	options: MaybeRefOrGetter<Options>,
	keyOf: (options: Options) => string,
	make: (options: Options) => Its,
	names: readonly (keyof Value)[],
): [Refs<Value>, () => Its] {
	let store = make(toValue(options));
	let unwatch = () => {};
	let isStarted = false;
	const value = shallowRef(store.snapshot());
	const start = () => {
		isStarted = true;
		store.callbacks = toValue(options) as object;
		value.value = store.snapshot();
		unwatch = store.watch(() => {
			value.value = store.snapshot();
		});
	};
	// A component that is rendered on a server is never mounted, and opens nothing.
	if (getCurrentInstance() === null) start();
	else onMounted(start);
	watch(
		() => toValue(options),
		(its) => {
			store.callbacks = its as object;
		},
	);
	watch(
		() => keyOf(toValue(options)),
		() => {
			unwatch();
			store = make(toValue(options));
			if (isStarted) start();
		},
	);
	onScopeDispose(() => unwatch());
	const refs = Object.fromEntries(names.map((name) => [name, computed(() => value.value[name])]));
	return [refs as unknown as Refs<Value>, () => store];
}
