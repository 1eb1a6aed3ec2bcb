/**
 * Those in one tab who listen to the shared stream: each sees it as if it had its topics alone.
 *
 * Knows what the leader tells; knows nothing of tabs.
 */

import type { Item } from "./chain.ts";
import { guarded, toEvent } from "./events.ts";
import { CONNECTING, revived, type View } from "./messages.ts";
import type { StreamOptions, StreamStatus } from "./options.ts";
import type { Gap } from "./wire.ts";

/** What one of them wants, and is called with. */
export interface Listener extends Pick<StreamOptions, `on${string}` & keyof StreamOptions> {
	readonly topics: ReadonlySet<string>;
	/** The stream must begin after it came: its topics tell how things are when they begin. */
	readonly fresh: boolean;
}

export class Listeners {
	view: View = CONNECTING;
	/** Rises with each that must have a fresh stream. */
	fresh = 0;
	readonly #all = new Map<Listener, StreamStatus | null>(); // and what they were told last

	get size(): number {
		return this.#all.size;
	}

	/** What they want between them. */
	get topics(): string[] {
		return [...new Set([...this.#all.keys()].flatMap(({ topics }) => [...topics]))];
	}

	add(listener: Listener): void {
		this.#all.set(listener, null);
		if (listener.fresh) this.fresh += 1;
		this.show(this.view);
	}

	remove(listener: Listener): boolean {
		return this.#all.delete(listener);
	}

	/** The stream is like this now: those whom it concerns are told. */
	show(view: View): void {
		this.view = view;
		for (const [listener, before] of [...this.#all]) {
			const status = this.#statusFor(listener);
			if (before !== null && JSON.stringify(before) === JSON.stringify(status)) continue;
			this.#all.set(listener, status);
			guarded(() => listener.onState?.(status));
		}
	}

	deliver(item: Item): void {
		this.#forAll((listener) => {
			if (!listener.topics.has(item.topic)) return;
			guarded(() => listener.onFrame?.({ kind: "event", ...item }));
			listener.onEvent?.(toEvent(item));
		});
	}

	tellGap(gap: Gap): void {
		this.#forAll((listener) => listener.onGap?.(gap));
	}

	tellExpired(): void {
		this.#forAll((listener) => listener.onExpired?.());
	}

	tellBeat(): void {
		this.#forAll((listener) => listener.onFrame?.({ kind: "comment", text: " hb" }));
	}

	#statusFor({ topics }: Listener): StreamStatus {
		const { status, active, refused } = this.view;
		const refusal = refused.find(([topic]) => topics.has(topic));
		if (refusal !== undefined) {
			return { state: "closed", failures: 0, retryAt: null, error: revived(refusal[1]) };
		}
		const isComing = status.state === "open" && [...topics].some((topic) => !active.includes(topic));
		return { ...status, state: isComing ? "connecting" : status.state, error: revived(status.error) };
	}

	#forAll(call: (listener: Listener) => void): void {
		for (const listener of [...this.#all.keys()]) guarded(() => call(listener));
	}
}
