/**
 * What the tabs of a user say to each other. Errors cross as plain facts: a structured clone keeps no more of them.
 */

import type { Batch } from "./chain.ts";
import { type ErrorCode, type ErrorFacts, StreamError } from "./errors.ts";
import type { StreamStatus } from "./options.ts";
import type { Gap } from "./wire.ts";

export interface PlainError extends Omit<ErrorFacts, "cause"> {
	readonly code: ErrorCode;
	readonly message: string;
}

/** How the shared stream is, as the leader tells it. */
export interface View {
	readonly status: Omit<StreamStatus, "error"> & { readonly error: PlainError | null };
	/** The topics that it gives. */
	readonly active: readonly string[];
	/** Those that it may not have, and why. */
	readonly refused: readonly (readonly [string, PlainError])[];
}

/** What a tab wants, and where it stands. One without topics has gone. */
export interface Wish {
	readonly topics: readonly string[];
	/** Rises with each listener that must have a fresh stream. */
	readonly fresh: number;
	readonly position: string | null;
}

export type Message =
	/** From any tab to all. */
	| { kind: "wish"; wish: Wish }
	/** From a new leader: what does everybody want? */
	| { kind: "who" }
	/** From the leader to all. */
	| { kind: "view"; view: View; position: string }
	| { kind: "batch"; batch: Batch }
	| { kind: "gap"; gap: Gap }
	| { kind: "expired" }
	| { kind: "beat" }
	/** To the leader: this tab stands at *position*, and something is missing. The answer is null where it is too long ago. */
	| { kind: "behind"; position: string }
	| { kind: "missed"; to: string; batch: Batch | null }
	/** To the leader: see Stream. */
	| { kind: "wake" }
	| { kind: "reconnect" };

export const CONNECTING: View = {
	status: { state: "connecting", failures: 0, retryAt: null, error: null },
	active: [],
	refused: [],
};

export function plain(error: StreamError): PlainError;
export function plain(error: StreamError | null): PlainError | null;
export function plain(error: StreamError | null): PlainError | null {
	if (error === null) return null;
	const { code, message, status, problem, retryAfterMs } = error;
	return { code, message, status, problem, retryAfterMs };
}

export function revived(error: PlainError | null): StreamError | null {
	return error === null ? null : new StreamError(error.code, error.message, error);
}
