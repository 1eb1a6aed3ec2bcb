/**
 * Which friends are online: the presence stream, summed up.
 *
 * Knows the events of topic `presence`; knows no framework.
 */

import type { StreamEvent } from "./options.ts";
import { type AccessOptions, type Connectedness, type Listening, StreamStore } from "./stream_store.ts";
import type { FriendStatus } from "./wire.ts";

export interface PresenceOptions extends AccessOptions {
	/** Where the service is, `https://push.example.com`. Default: where the page is from. */
	readonly baseUrl?: string | undefined;
}

export interface PresenceSnapshot extends Connectedness {
	/** Every friend, by id. Kept as last seen while not connected. */
	readonly friends: Readonly<Record<string, FriendStatus>>;
	/** The ids of those who are online. */
	readonly online: readonly string[];
}

export class Presence extends StreamStore<PresenceOptions, PresenceSnapshot> {
	#friends: Readonly<Record<string, FriendStatus>> = {};

	constructor(options: PresenceOptions) {
		super(options, { friends: {}, online: [] });
	}

	protected override listening(): Listening {
		return {
			url: `${this.options.baseUrl ?? ""}/v1/stream?topics=presence`,
			fresh: true,
			eventNames: ["presence/initial", "presence/status_change"],
			onEvent: (event) => this.#onEvent(event),
		};
	}

	protected override make(): PresenceSnapshot {
		const friends = this.#friends;
		const online = Object.keys(friends).filter((id) => friends[id]?.is_online);
		return { ...this.status, friends, online };
	}

	#onEvent({ event, data }: StreamEvent): void {
		if (event === "presence/initial") this.#friends = data as Record<string, FriendStatus>;
		else if (event === "presence/status_change") {
			const friend = data as FriendStatus;
			this.#friends = { ...this.#friends, [friend.user_id]: friend };
		} else return;
		this.changed();
	}
}
