// Which friends are online, made of the presence events. A friend it was never told of is not in it.

import { Cell } from "./feed.ts";

export interface Presence {
	readonly user_id: string | number;
	readonly is_online: boolean;
	readonly last_activity?: string;
	readonly last_seen?: string;
}

export type Friends = Readonly<Record<string, Presence>>;

export class FriendsOnline {
	readonly byId = new Cell<Friends>({});
	/** When the service last confirmed that we are seen as online. */
	readonly heartbeat = new Cell<string | undefined>(undefined);

	take(name: string, data: unknown): void {
		if (name === "initial") this.byId.set((data ?? {}) as Friends);
		else if (name === "status_change") this.#change(data as Presence);
		else if (name === "heartbeat" || name === "connected")
			this.heartbeat.set((data as { timestamp?: string }).timestamp);
	}

	#change(one: Presence): void {
		this.byId.update((before) => ({
			...before,
			[String(one.user_id)]: { ...before[String(one.user_id)], ...one },
		}));
	}
}
