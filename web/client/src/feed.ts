/**
 * A stream as a view wants it: the newest events, and how the stream is.
 *
 * Knows no framework: react.ts and vue.ts are thin layers over it.
 */

import type { StreamError } from "./errors.ts";
import { openAny } from "./open.ts";
import type { GetToken, Stream, StreamEvent, StreamStatus } from "./options.ts";
import type { SharedOptions } from "./shared.ts";
import { Store, trim } from "./store.ts";
import type { Gap } from "./wire.ts";

/** Who asks, and how to go on asking: the same for every hook. */
export interface AccessOptions {
	readonly token?: string | undefined;
	/** Gives a token, and a new one when that has expired. The newest is asked: it may close over what changes. */
	readonly getToken?: GetToken | undefined;
	/** Tells users apart where `getToken` gives the tokens. */
	readonly user?: string | undefined;
	/** Default true. */
	readonly reconnect?: boolean | undefined;
	/** Milliseconds before the first retry, growing from there; never less than the service asks for by `retry:`. */
	readonly reconnectInterval?: number | undefined;
	/** Where false, there is no stream. Default true. */
	readonly enabled?: boolean | undefined;
}

export interface FeedOptions extends AccessOptions {
	/** The stream's URL; on `/v1/stream?topics=...` all tabs of the browser share one connection. */
	readonly endpoint: string;
	/** How many events are held, the newest. Default 200. */
	readonly limit?: number | undefined;
}

export interface FeedCallbacks<Data = unknown> {
	readonly getToken?: GetToken | undefined;
	onConnect?(): void;
	onError?(error: StreamError): void;
	onEvent?(event: StreamEvent<Data>): void;
	onGap?(gap: Gap): void;
}

/** How a stream is, for a view. */
export interface Connectedness {
	readonly state: StreamStatus["state"];
	readonly isConnected: boolean;
	/** When `waiting`: the next attempt, in milliseconds since the epoch. */
	readonly retryAt: number | null;
	/** Why it is not connected; null where it is, or was not yet. */
	readonly error: StreamError | null;
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

export class Feed<Data = unknown> extends Store<FeedSnapshot<Data>> {
	/** May be exchanged at any time. */
	callbacks: FeedCallbacks<Data> = {};
	readonly #options: FeedOptions;
	#stream: Stream | null = null;
	#status: Connectedness;
	#events: StreamEvent<Data>[] = [];
	#gaps: readonly Gap[] = [];
	#hasNew = false;

	constructor(options: FeedOptions) {
		const status = unconnected(options);
		super({ ...status, events: [], gaps: [] });
		this.#options = options;
		this.#status = status;
	}

	readonly clear = (): void => {
		this.#events = [];
		this.#gaps = [];
		this.#hasNew = true;
		this.changed();
	};

	/** Try at once. */
	readonly retry = (): void => this.#stream?.reconnect();

	protected override open(): void {
		if (this.#options.enabled === false) return;
		this.#stream = openAny({
			...accessOf(this.#options, this),
			url: this.#options.endpoint,
			onEvent: (event) => this.#onEvent(event as StreamEvent<Data>),
			onGap: (gap) => this.#onGap(gap),
			onState: (status) => this.#onState(status),
		});
	}

	protected override close(): void {
		const stream = this.#stream;
		this.#stream = null;
		this.#status = unconnected(this.#options);
		stream?.close();
		this.changed();
	}

	protected override make(before: FeedSnapshot<Data>): FeedSnapshot<Data> {
		const events = this.#hasNew ? [...this.#events] : before.events;
		this.#hasNew = false;
		return { ...this.#status, events, gaps: this.#gaps };
	}

	#onEvent(event: StreamEvent<Data>): void {
		this.#events.push(event);
		trim(this.#events, this.#options.limit ?? LIMIT);
		this.#hasNew = true;
		this.changed();
		this.callbacks.onEvent?.(event);
	}

	#onGap(gap: Gap): void {
		this.#gaps = [...this.#gaps, gap].slice(-GAPS);
		this.changed();
		this.callbacks.onGap?.(gap);
	}

	#onState(status: StreamStatus): void {
		if (this.#stream === null) return; // we have left
		const wasConnected = this.#status.isConnected;
		this.#status = connectedness(status);
		this.changed();
		if (this.#status.isConnected && !wasConnected) this.callbacks.onConnect?.();
		if (status.error !== null && status.state !== "connecting") this.callbacks.onError?.(status.error);
	}
}

export function unconnected({ enabled }: AccessOptions): Connectedness {
	const state = enabled === false ? "closed" : "connecting";
	return { state, isConnected: false, retryAt: null, error: null };
}

export function connectedness({ state, retryAt, error }: StreamStatus): Connectedness {
	return { state, isConnected: state === "open", retryAt, error };
}

/** *options* as a stream takes them; it is `holder.callbacks.getToken` that is asked, where there is one by then. */
export function accessOf(
	{ token, getToken, user, reconnect, reconnectInterval }: AccessOptions,
	holder: { callbacks: { getToken?: GetToken | undefined } },
): Omit<SharedOptions, "url"> {
	const newest: GetToken | undefined =
		getToken && ((reason, signal) => (holder.callbacks.getToken ?? getToken)(reason, signal));
	return { token, getToken: newest, user, reconnect, minMs: reconnectInterval };
}
