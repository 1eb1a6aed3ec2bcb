/**
 * Those in one tab who use the shared stream: each sees it as if it had its topics alone.
 *
 * Knows what the leader tells; knows nothing of tabs.
 */

import type { Item } from "./chain.ts";
import { guarded, toEvent } from "./events.ts";
import { CONNECTING, revived, type View } from "./messages.ts";
import type { StreamOptions, StreamStatus } from "./options.ts";
import type { Gap } from "./wire.ts";

/** What one of them wants, and is called with. */
export interface HubUser extends Pick<StreamOptions, `on${string}` & keyof StreamOptions> {
	readonly topics: ReadonlySet<string>;
	/** The stream must begin after it came: its topics tell how things are when they begin. */
	readonly fresh: boolean;
}

export class Audience {
	view: View = CONNECTING;
	/** Rises with each that must have a fresh stream. */
	fresh = 0;
	readonly #users = new Map<HubUser, StreamStatus | null>(); // and what they were told last

	get size(): number {
		return this.#users.size;
	}

	/** What they want between them. */
	get topics(): string[] {
		return [...new Set([...this.#users.keys()].flatMap(({ topics }) => [...topics]))];
	}

	add(user: HubUser): void {
		this.#users.set(user, null);
		if (user.fresh) this.fresh += 1;
		this.show(this.view);
	}

	remove(user: HubUser): boolean {
		return this.#users.delete(user);
	}

	/** The stream is like this now: those whom it concerns are told. */
	show(view: View): void {
		this.view = view;
		for (const [user, before] of [...this.#users]) {
			const status = this.#statusFor(user);
			if (before !== null && JSON.stringify(before) === JSON.stringify(status)) continue;
			this.#users.set(user, status);
			guarded(() => user.onState?.(status));
		}
	}

	deliver(item: Item): void {
		this.#forAll((user) => {
			if (!user.topics.has(item.topic)) return;
			guarded(() => user.onFrame?.({ kind: "event", ...item }));
			user.onEvent?.(toEvent(item));
		});
	}

	tellGap(gap: Gap): void {
		this.#forAll((user) => user.onGap?.(gap));
	}

	tellExpired(): void {
		this.#forAll((user) => user.onExpired?.());
	}

	tellBeat(): void {
		this.#forAll((user) => user.onFrame?.({ kind: "comment", text: " hb" }));
	}

	#statusFor({ topics }: HubUser): StreamStatus {
		const { status, active, refused } = this.view;
		const refusal = refused.find(([topic]) => topics.has(topic));
		if (refusal !== undefined) {
			return { state: "closed", failures: 0, retryAt: null, error: revived(refusal[1]) };
		}
		const isComing = status.state === "open" && [...topics].some((topic) => !active.includes(topic));
		return { ...status, state: isComing ? "connecting" : status.state, error: revived(status.error) };
	}

	#forAll(call: (user: HubUser) => void): void {
		for (const user of [...this.#users.keys()]) guarded(() => call(user));
	}
}
