/**
 * What a stream is told, and what it tells: types alone.
 */

import type { BackoffOptions } from "./backoff.ts";
import type { StreamError } from "./errors.ts";
import type { RawEvent } from "./parser.ts";
import type { Gap } from "./wire.ts";

/** An event as applications see it. */
export interface StreamEvent<Data = unknown> {
	/** Its own id; empty where the stream gives none. */
	readonly id: string;
	/** Its name: `message`, or on `/v1/stream` `topic` or `topic/name`. */
	readonly event: string;
	/** What was published: parsed where it is JSON, else the text. */
	readonly data: Data;
	/** The data as it came. */
	readonly text: string;
	/** What a stream would resume from after this event. */
	readonly lastEventId: string;
}

/** Why `getToken` is asked: for the first time, because the token expired, or because it was refused (401). */
export type TokenReason = "first" | "expired" | "refused";
export type GetToken = (reason: TokenReason, signal: AbortSignal) => string | Promise<string>;

export interface StreamStatus {
	readonly state: "connecting" | "open" | "waiting" | "closed";
	/** Failures in a row before this. */
	readonly failures: number;
	/** When `waiting`: the next attempt, in milliseconds since the epoch; null while it waits for the page to be seen. */
	readonly retryAt: number | null;
	/** Why it waits or is closed; null where all is well, or `close()` was called. */
	readonly error: StreamError | null;
}

/** What comes over the wire, for an inspector. */
export type Frame =
	| ({ readonly kind: "event" } & RawEvent)
	| { readonly kind: "comment"; readonly text: string }
	| { readonly kind: "retry"; readonly ms: number }
	| { readonly kind: "position"; readonly lastEventId: string };

export interface StreamOptions extends BackoffOptions {
	readonly url: string | URL;
	/** A token that is not renewed. */
	readonly token?: string | undefined;
	/** Gives a token, and a new one when that has expired. Where it rejects, it is asked again later. */
	readonly getToken?: GetToken | undefined;
	readonly headers?: Readonly<Record<string, string>> | undefined;
	/** Whether cookies go along to another origin. Default `same-origin`. */
	readonly credentials?: RequestCredentials | undefined;
	/** Begin after this id rather than now. */
	readonly lastEventId?: string | undefined;
	/** Whether to come back after the stream broke or could not be opened. Default true. */
	readonly reconnect?: boolean | undefined;
	/** Milliseconds between heartbeats; a stream that is silent for three is opened anew. Default 15,000. */
	readonly heartbeatMs?: number | undefined;
	/** Close the stream when the page was hidden for so many milliseconds; it resumes when seen again. Default: never. */
	readonly pauseHiddenMs?: number | undefined;
	/** Names of events that EventSource has to listen for, where fetch streams are missing. */
	readonly eventNames?: readonly string[] | undefined;
	readonly fetch?: typeof fetch | undefined;

	onEvent?(event: StreamEvent): void;
	/** Something was missed and can't be given: read the state anew. */
	onGap?(gap: Gap): void;
	/** The token has expired; `getToken` is asked next. */
	onExpired?(): void;
	onState?(status: StreamStatus): void;
	/** The stream stands at another id, with or without an event. */
	onPosition?(lastEventId: string): void;
	/** Everything, heartbeats too. */
	onFrame?(frame: Frame): void;
}

export interface Stream {
	readonly status: StreamStatus;
	/** What it would resume from. */
	readonly lastEventId: string;
	/** Try at once: a wait is cut short, an open stream opened anew, one that an error ended begun again. */
	reconnect(): void;
	/** Look whether an open stream lives, and cut a wait short that the service did not ask for. */
	wake(): void;
	/** End it for good. `onState` is told once more, nothing is called afterwards. */
	close(): void;
}
