/**
 * A stream as a view wants it: the newest events, and how the stream is.
 *
 * Knows no framework: react.ts and vue.ts are thin layers over it.
 */

import type { StreamError } from "./errors.ts";
import type { StreamEvent } from "./options.ts";
import { trim } from "./store.ts";
import {
	type AccessCallbacks,
	type AccessOptions,
	type Connectedness,
	type Listening,
	StreamStore,
} from "./stream_store.ts";
import type { Gap } from "./wire.ts";

export interface FeedOptions extends AccessOptions {
	/** The stream's URL; on `/v1/stream?topics=...` all tabs of the browser share one connection. */
	readonly endpoint: string;
	/** How many events are held, the newest. Default 200. */
	readonly limit?: number | undefined;
}

export interface FeedCallbacks<Data = unknown> extends AccessCallbacks {
	onConnect?(): void;
	onError?(error: StreamError): void;
	onEvent?(event: StreamEvent<Data>): void;
	onGap?(gap: Gap): void;
}

export interface FeedSnapshot<Data = unknown> extends Connectedness {
	/** The newest events, oldest first. */
	readonly events: readonly StreamEvent<Data>[];
	/** The gaps there were, oldest first: what is shown may lack something since. */
	readonly gaps: readonly Gap[];
}

const LIMIT = 200;
/** Gaps held, the newest: nobody reads more. */
const GAPS = 20;

export class Feed<Data = unknown> extends StreamStore<FeedOptions, FeedSnapshot<Data>, FeedCallbacks<Data>> {
	#events: StreamEvent<Data>[] = [];
	#gaps: readonly Gap[] = [];
	#hasNew = false;

	constructor(options: FeedOptions) {
		super(options, { events: [], gaps: [] });
	}

	readonly clear = (): void => {
		this.#events = [];
		this.#gaps = [];
		this.#hasNew = true;
		this.changed();
	};

	protected override listening(): Listening {
		return {
			url: this.options.endpoint,
			onEvent: (event) => this.#onEvent(event as StreamEvent<Data>),
			onGap: (gap) => this.#onGap(gap),
		};
	}

	protected override onStatus({ isConnected: wasConnected }: Connectedness): void {
		const { state, isConnected, error } = this.status;
		if (isConnected && !wasConnected) this.callbacks.onConnect?.();
		if (error !== null && state !== "connecting") this.callbacks.onError?.(error);
	}

	protected override make(before: FeedSnapshot<Data>): FeedSnapshot<Data> {
		const events = this.#hasNew ? [...this.#events] : before.events;
		this.#hasNew = false;
		return { ...this.status, events, gaps: this.#gaps };
	}

	#onEvent(event: StreamEvent<Data>): void {
		this.#events.push(event);
		trim(this.#events, this.options.limit ?? LIMIT);
		this.#hasNew = true;
		this.changed();
		this.callbacks.onEvent?.(event);
	}

	#onGap(gap: Gap): void {
		this.#gaps = [...this.#gaps, gap].slice(-GAPS);
		this.changed();
		this.callbacks.onGap?.(gap);
	}
}
