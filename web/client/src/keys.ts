/** What makes the options of a view others: callbacks don't, the newest are called anyway. */

import type { FeedOptions } from "./feed.ts";
import type { GroupChatOptions } from "./group_chat.ts";
import type { PresenceOptions } from "./presence.ts";
import type { AccessOptions } from "./stream_store.ts";

export function feedKey(options: FeedOptions): string {
	return keyOf(options, options.endpoint, options.limit);
}

export function presenceKey(options: PresenceOptions): string {
	return keyOf(options, options.baseUrl);
}

export function groupChatKey(options: GroupChatOptions): string {
	const { baseUrl, roomId, sender, userName, limit } = options;
	return keyOf(options, baseUrl, roomId, sender, userName, limit);
}

function keyOf(options: AccessOptions, ...more: unknown[]): string {
	const { token, user, reconnect, reconnectInterval, enabled } = options;
	return JSON.stringify([token, user, reconnect, reconnectInterval, enabled, ...more]);
}
