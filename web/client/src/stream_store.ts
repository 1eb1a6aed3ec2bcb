/**
 * What every view of a stream is: a store that listens while somebody watches, and tells how its stream is.
 *
 * Knows when to open and when to close; what the events mean is its subclasses' business (feed.ts, presence.ts,
 * group_chat.ts).
 */

import type { StreamError } from "./errors.ts";
import { openAny } from "./open.ts";
import type { GetToken, Stream, StreamOptions, StreamStatus } from "./options.ts";
import type { SharedOptions } from "./shared.ts";
import { Store } from "./store.ts";

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

/** How a stream is, for a view. */
export interface Connectedness {
	readonly state: StreamStatus["state"];
	readonly isConnected: boolean;
	/** When `waiting`: the next attempt, in milliseconds since the epoch. */
	readonly retryAt: number | null;
	/** Why it is not connected; null where it is, or was not yet. */
	readonly error: StreamError | null;
}

export interface AccessCallbacks {
	readonly getToken?: GetToken | undefined;
}

/** Which stream, and what is done with what it brings. */
export type Listening = Pick<SharedOptions, "url" | "fresh" | "eventNames"> &
	Pick<StreamOptions, "onEvent" | "onGap">;

export abstract class StreamStore<
	Options extends AccessOptions,
	Snapshot extends Connectedness,
	Callbacks extends AccessCallbacks = AccessCallbacks,
> extends Store<Snapshot> {
	/** May be exchanged at any time. */
	callbacks = {} as Callbacks;
	protected readonly options: Options;
	protected status: Connectedness;
	#stream: Stream | null = null;

	/** @param first What it shows before anything came, but for how the stream is. */
	constructor(options: Options, first: Omit<Snapshot, keyof Connectedness>) {
		const status = unconnected(options);
		super({ ...status, ...first } as Snapshot);
		this.options = options;
		this.status = status;
	}

	/** Try at once. */
	readonly retry = (): void => this.#stream?.reconnect();

	protected abstract listening(): Listening;

	/** The stream has changed from *before* to `status`. */
	protected onStatus(_before: Connectedness): void {}

	protected override open(): void {
		if (this.options.enabled === false) return;
		const { token, user, reconnect, reconnectInterval: minMs } = this.options;
		this.#stream = openAny({
			...{ token, user, reconnect, minMs, getToken: this.getToken },
			...this.listening(),
			onState: ({ state, retryAt, error }) => {
				if (this.#stream === null) return; // we have left
				const before = this.status;
				this.status = { state, isConnected: state === "open", retryAt, error };
				this.changed();
				this.onStatus(before);
			},
		});
	}

	protected override close(): void {
		const stream = this.#stream;
		this.#stream = null;
		this.status = unconnected(this.options);
		stream?.close();
		this.changed();
	}

	/** Asks the newest callback; undefined where tokens are not renewed. */
	protected get getToken(): GetToken | undefined {
		const { getToken } = this.options;
		return getToken && ((reason, signal) => (this.callbacks.getToken ?? getToken)(reason, signal));
	}
}

function unconnected({ enabled }: AccessOptions): Connectedness {
	const state = enabled === false ? "closed" : "connecting";
	return { state, isConnected: false, retryAt: null, error: null };
}
