/**
 * How long to wait before the next attempt. Pure but for chance, which is injected.
 *
 * Knows `retry:`, `Retry-After` and how often it went wrong; knows neither clocks nor connections.
 */

export interface BackoffOptions {
	/** Milliseconds before the first retry; the service may ask for more by `retry:`. By default what it asks for, else 2000. */
	readonly minMs?: number | undefined;
	/** No wait grows beyond this, but by `Retry-After`. Default 30,000 ms. */
	readonly maxMs?: number | undefined;
	/** A number from 0 to 1. Default `Math.random`. */
	readonly random?: (() => number) | undefined;
}

/** A service that says `retry: 0` must not be asked in a loop. */
const LEAST_MS = 100;
/** A mistyped `Retry-After` must not end a page's stream for good: an hour. */
export const MAX_RETRY_AFTER_MS = 3_600_000;

export class Backoff {
	readonly maxMs: number;
	readonly #minMs: number;
	#retryMs: number;
	#failures = 0;
	readonly #random: () => number;

	constructor(options: BackoffOptions = {}) {
		this.#minMs = Math.max(options.minMs ?? 0, LEAST_MS);
		this.#retryMs = options.minMs === undefined ? 2000 : this.#minMs;
		this.maxMs = options.maxMs ?? 30_000;
		this.#random = options.random ?? Math.random;
	}

	/** How often in a row it went wrong. */
	get failures(): number {
		return this.#failures;
	}

	/** The stream said `retry:`. */
	setRetry(ms: number): void {
		this.#retryMs = Math.min(Math.max(ms, this.#minMs), this.maxMs);
	}

	/** A stream was open long enough to be called good. */
	reset(): void {
		this.#failures = 0;
	}

	/**
	 * It went wrong once more: the milliseconds to wait.
	 *
	 * Doubles with each failure, and takes half to all of that, so that a fleet which broke off together does not come
	 * back together. `Retry-After` is a floor, spread upwards by a quarter for the same reason.
	 */
	next(retryAfterMs?: number): number {
		const ceiling = Math.min(this.maxMs, this.#retryMs * 2 ** this.#failures);
		this.#failures = Math.min(this.#failures + 1, 30);
		const wait = ceiling * (0.5 + this.#random() / 2);
		if (retryAfterMs === undefined) return wait;
		return Math.max(wait, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + this.#random() / 4));
	}
}
