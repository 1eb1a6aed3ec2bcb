/**
 * Which friends are online: the presence stream, summed up.
 *
 * Knows the events of topic `presence`; knows no framework.
 */

import { type AccessOptions, accessOf, type Connectedness, connectedness, unconnected } from "./feed.ts";
import { openAny } from "./open.ts";
import type { GetToken, Stream, StreamEvent } from "./options.ts";
import { Store } from "./store.ts";
import type { FriendStatus } from "./wire.ts";

/** A friend, as the service tells it. */
export type Friend = FriendStatus;

export interface PresenceOptions extends AccessOptions {
	/** Where the service is, `https://push.example.com`. Default: where the page is from. */
	readonly baseUrl?: string | undefined;
}

export interface PresenceSnapshot extends Connectedness {
	/** Every friend, by id. Kept as last seen while not connected. */
	readonly friends: Readonly<Record<string, Friend>>;
	/** The ids of those who are online. */
	readonly online: readonly string[];
}

export class Presence extends Store<PresenceSnapshot> {
	/** May be exchanged at any time. */
	callbacks: { getToken?: GetToken | undefined } = {};
	readonly #options: PresenceOptions;
	#stream: Stream | null = null;
	#status: Connectedness;
	#friends: Readonly<Record<string, Friend>> = {};

	constructor(options: PresenceOptions) {
		const status = unconnected(options);
		super({ ...status, friends: {}, online: [] });
		this.#options = options;
		this.#status = status;
	}

	/** Try at once. */
	readonly retry = (): void => this.#stream?.reconnect();

	protected override open(): void {
		if (this.#options.enabled === false) return;
		this.#stream = openAny({
			...accessOf(this.#options, this),
			url: `${this.#options.baseUrl ?? ""}/v1/stream?topics=presence`,
			fresh: true,
			eventNames: ["presence/initial", "presence/status_change"],
			onEvent: (event) => this.#onEvent(event),
			onState: (status) => {
				if (this.#stream === null) return;
				this.#status = connectedness(status);
				this.changed();
			},
		});
	}

	protected override close(): void {
		const stream = this.#stream;
		this.#stream = null;
		this.#status = unconnected(this.#options);
		stream?.close();
		this.changed();
	}

	protected override make(): PresenceSnapshot {
		const friends = this.#friends;
		const online = Object.keys(friends).filter((id) => friends[id]?.is_online);
		return { ...this.#status, friends, online };
	}

	#onEvent({ event, data }: StreamEvent): void {
		if (event === "presence/initial") this.#friends = data as Record<string, Friend>;
		else if (event === "presence/status_change") {
			const friend = data as Friend;
			this.#friends = { ...this.#friends, [friend.user_id]: friend };
		} else return;
		this.changed();
	}
}
