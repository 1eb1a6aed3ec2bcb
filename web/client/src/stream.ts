/**
 * A stream that stays: opened, resumed from its last id when it breaks, given new tokens, closed when told.
 *
 * Knows when to try again and what the service's own `sse.` events mean. How bytes come is connection.ts's business,
 * how long to wait backoff.ts's; who shares a stream with whom is that of hub.ts and shared.ts.
 */

import { Backoff } from "./backoff.ts";
import { connect } from "./connection.ts";
import { StreamError } from "./errors.ts";
import { guarded, toEvent } from "./events.ts";
import type { Stream, StreamOptions, StreamStatus, TokenReason } from "./options.ts";
import type { RawEvent } from "./parser.ts";
import { isHidden, isOffline, watchSurroundings } from "./surroundings.ts";
import { Watchdog } from "./watchdog.ts";
import type { Gap } from "./wire.ts";

/** A stream that ended sooner was not good: the waits go on growing. */
const GOOD_AFTER_MS = 5000;

/** How an attempt came to its end. */
type Outcome = StreamError | "asked" | "expired" | "hidden";

/** Open a stream, and keep it open until `close()`. */
export function openStream(options: StreamOptions): Stream {
	return new KeptStream(options);
}

class KeptStream implements Stream {
	status: StreamStatus = { state: "connecting", failures: 0, retryAt: null, error: null };
	lastEventId: string;
	readonly #options: StreamOptions;
	readonly #backoff: Backoff;
	readonly #watchdog: Watchdog;
	#unwatch: () => void = () => {};
	#attempt = new AbortController();
	#outcome: Outcome | null = null; // decided by us rather than by the connection
	#openedAt = 0;
	#token: string | undefined;
	#tokenReason: TokenReason | null;
	#sleeper: { wake(): void; firm: boolean } | null = null;
	#hiddenTimer: ReturnType<typeof setTimeout> | undefined;
	#paused = false;

	constructor(options: StreamOptions) {
		this.#options = options;
		this.lastEventId = options.lastEventId ?? "";
		this.#token = options.token;
		this.#tokenReason = options.getToken !== undefined && options.token === undefined ? "first" : null;
		this.#backoff = new Backoff(options);
		this.#watchdog = new Watchdog(options.heartbeatMs ?? 15_000, () => this.#breakOff(silence()));
		this.#begin();
	}

	reconnect(): void {
		this.#backoff.reset();
		if (this.#closed && this.status.error !== null) this.#begin();
		else if (this.#sleeper !== null) this.#sleeper.wake();
		else this.#breakOff("asked");
	}

	wake(): void {
		this.#watchdog.check();
		if (this.#sleeper !== null && !this.#sleeper.firm) this.#sleeper.wake();
	}

	close(): void {
		this.#end(null);
	}

	get #closed(): boolean {
		return this.status.state === "closed";
	}

	#begin(): void {
		this.status = { state: "connecting", failures: 0, retryAt: null, error: null };
		this.#unwatch = watchSurroundings(
			() => this.#onSeen(),
			() => this.#onHidden(),
		);
		if (isHidden()) this.#onHidden();
		// Not in this turn: whoever opens it has the stream in hand before anything is called.
		queueMicrotask(() => void this.#run());
	}

	async #run(): Promise<void> {
		while (!this.#closed) {
			if (this.#paused) await this.#untilSeen();
			if (this.#closed) return;
			const outcome = await this.#attemptOnce();
			if (this.#closed) return;
			const wait = this.#planAfter(outcome);
			if (wait === null) this.#end(errorBehind(outcome));
			else if (wait > 0) await this.#waitFor(wait, errorBehind(outcome));
		}
	}

	/** Connect, and read to the end. */
	async #attemptOnce(): Promise<Outcome> {
		this.#attempt = new AbortController();
		this.#outcome = null;
		this.#openedAt = 0;
		this.#tell("connecting", null, this.status.error);
		try {
			await this.#renewToken();
			this.#watchdog.start();
			if (!this.#attempt.signal.aborted) await this.#connect();
		} catch (error) {
			this.#outcome ??= error as StreamError;
		}
		this.#watchdog.stop();
		this.#attempt.abort(); // what comes late is not heard
		return this.#outcome ?? new StreamError("network", "the stream ended");
	}

	async #renewToken(): Promise<void> {
		const { getToken } = this.#options;
		const reason = this.#tokenReason;
		if (reason === null || getToken === undefined) return;
		const before = this.#token;
		const { signal } = this.#attempt;
		try {
			// It may never answer; who gives up the attempt does not wait for that.
			const givenUp = new Promise<never>((_, reject) => signal.addEventListener("abort", reject));
			this.#token = await Promise.race([getToken(reason, signal), givenUp]);
		} catch (cause) {
			throw new StreamError("network", "getToken failed", { cause });
		}
		if (reason === "refused" && this.#token === before) {
			throw new StreamError("token", "getToken gave the token that was refused");
		}
	}

	#connect(): Promise<void> {
		const { url, headers, credentials, eventNames, fetch } = this.#options;
		const { signal } = this.#attempt;
		const heard = <Args extends unknown[]>(handler: (...args: Args) => void) => {
			return (...args: Args) => (signal.aborted ? undefined : handler(...args));
		};
		return connect(
			{
				...{ headers, credentials, eventNames, fetch, token: this.#token, lastEventId: this.lastEventId },
				url: String(url),
			},
			{
				onOpen: heard(() => this.#onOpen()),
				onBytes: () => this.#watchdog.feed(),
				onEvent: heard((event) => this.#onEvent(event)),
				onPosition: heard((id) => this.#onPosition(id)),
				onComment: heard((text) => this.#onComment(text)),
				onRetry: heard((ms) => this.#onRetry(ms)),
			},
			signal,
		);
	}

	/** Milliseconds until the next attempt; null when there is none. */
	#planAfter(outcome: Outcome): number | null {
		const wasGood = this.#openedAt > 0 && Date.now() - this.#openedAt >= GOOD_AFTER_MS;
		if (wasGood) this.#backoff.reset();
		if (outcome === "asked" || outcome === "hidden") return 0;
		const { reconnect = true, getToken } = this.#options;
		if (!reconnect) return null;
		if (outcome === "expired") {
			this.#tokenReason = "expired";
			return wasGood ? 0 : this.#backoff.next(); // a clock that is wrong must not make us ask in a loop
		}
		if (outcome.status === 401) {
			if (getToken === undefined || this.#tokenReason === "refused") return null;
			this.#tokenReason = "refused";
			return 0;
		}
		return outcome.final ? null : this.#backoff.next(outcome.retryAfterMs);
	}

	async #waitFor(ms: number, error: StreamError | null): Promise<void> {
		this.#tell("waiting", Date.now() + ms, error);
		await this.#sleep(ms, error?.retryAfterMs !== undefined);
		if (this.#closed || this.#paused || !isOffline()) return;
		this.#tell("waiting", Date.now() + this.#backoff.maxMs, error);
		await this.#sleep(this.#backoff.maxMs, false);
	}

	async #untilSeen(): Promise<void> {
		this.#tell("waiting", null, null);
		await this.#sleep(null, false);
	}

	/** @param firm Only `reconnect()` and `close()` cut it short: the service said how long. */
	#sleep(ms: number | null, firm: boolean): Promise<void> {
		return new Promise((resolve) => {
			const timer = ms === null ? undefined : setTimeout(() => this.#sleeper?.wake(), ms);
			const wake = () => {
				clearTimeout(timer);
				this.#sleeper = null;
				resolve();
			};
			this.#sleeper = { wake, firm };
		});
	}

	#breakOff(outcome: Outcome): void {
		if (this.#attempt.signal.aborted) return;
		this.#outcome = outcome;
		this.#attempt.abort();
	}

	#end(error: StreamError | null): void {
		if (this.#closed) return;
		this.#unwatch();
		this.#watchdog.stop();
		clearTimeout(this.#hiddenTimer);
		this.#tell("closed", null, error);
		this.#attempt.abort();
		this.#sleeper?.wake();
	}

	#tell(state: StreamStatus["state"], retryAt: number | null, error: StreamError | null): void {
		this.status = { state, failures: this.#backoff.failures, retryAt, error };
		const told = this.status;
		guarded(() => this.#options.onState?.(told));
	}

	#onOpen(): void {
		this.#openedAt = Date.now();
		this.#tokenReason = null;
		this.#tell("open", null, null);
	}

	#onEvent(event: RawEvent): void {
		guarded(() => this.#options.onFrame?.({ kind: "event", ...event }));
		if (event.event === "sse.gap") guarded(() => this.#options.onGap?.(JSON.parse(event.data) as Gap));
		else if (event.event === "sse.expired") this.#onExpired();
		else guarded(() => this.#options.onEvent?.(toEvent(event)));
	}

	#onExpired(): void {
		guarded(() => this.#options.onExpired?.());
		this.#breakOff(this.#options.getToken === undefined ? expiry() : "expired");
	}

	#onPosition(id: string): void {
		this.lastEventId = id;
		guarded(() => this.#options.onFrame?.({ kind: "position", lastEventId: id }));
		guarded(() => this.#options.onPosition?.(id));
	}

	#onComment(text: string): void {
		this.#watchdog.beat();
		guarded(() => this.#options.onFrame?.({ kind: "comment", text }));
	}

	#onRetry(ms: number): void {
		this.#backoff.setRetry(ms);
		guarded(() => this.#options.onFrame?.({ kind: "retry", ms }));
	}

	#onSeen(): void {
		clearTimeout(this.#hiddenTimer);
		this.#paused = false;
		this.wake();
	}

	#onHidden(): void {
		const { pauseHiddenMs = Number.POSITIVE_INFINITY } = this.#options;
		if (pauseHiddenMs === Number.POSITIVE_INFINITY) return; // timers take it for nothing
		clearTimeout(this.#hiddenTimer);
		this.#hiddenTimer = setTimeout(() => {
			this.#paused = true;
			this.#breakOff("hidden");
		}, pauseHiddenMs);
	}
}

function silence(): StreamError {
	return new StreamError("silent", "the stream fell silent");
}

function expiry(): StreamError {
	return new StreamError("token", "the token has expired");
}

function errorBehind(outcome: Outcome): StreamError | null {
	if (outcome instanceof StreamError) return outcome;
	return outcome === "expired" ? expiry() : null;
}
