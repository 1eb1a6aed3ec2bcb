/**
 * Notices that a stream has fallen silent: three heartbeats did not come.
 *
 * Knows the time between bytes; knows nothing of what they say.
 */

const BEATS = 3;
/** A service may be told to beat more slowly than we expect; then silence is allowed to grow up to this. */
const MOST_MS = 300_000;

/** What a timer can wait for: more is none at all to it. */
const LONGEST_MS = 2 ** 31 - 1;

export class Watchdog {
	readonly #usualMs: number;
	readonly #onSilence: () => void;
	#allowedMs: number;
	#fedAt = 0;
	#timer: ReturnType<typeof setTimeout> | undefined;

	/**
	 * @param heartbeatMs What is expected between two heartbeats; Infinity has silence last for ever.
	 * @param onSilence Called once for each start.
	 */
	constructor(heartbeatMs: number, onSilence: () => void) {
		this.#usualMs = this.#allowedMs = BEATS * heartbeatMs;
		this.#onSilence = onSilence;
	}

	start(): void {
		this.#fedAt = Date.now();
		this.#look();
	}

	/** Bytes came. */
	feed(): void {
		this.#fedAt = Date.now();
	}

	/** A heartbeat came: the service beats, so that the usual silence is enough to go by. */
	beat(): void {
		if (this.#allowedMs === this.#usualMs) return;
		this.#allowedMs = this.#usualMs;
		this.check(); // its timer is set for the longer silence
	}

	stop(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
	}

	/** Look now: after a sleep or in a hidden page timers come late. */
	check(): void {
		if (this.#timer !== undefined) this.#look();
	}

	#look(): void {
		clearTimeout(this.#timer);
		const now = Date.now();
		this.#fedAt = Math.min(this.#fedAt, now); // a clock that was set back must not make it sleep
		const left = this.#fedAt + this.#allowedMs - now;
		if (left > 0) {
			this.#timer = setTimeout(() => this.#look(), Math.min(left, LONGEST_MS));
			return;
		}
		this.#timer = undefined;
		this.#allowedMs = Math.max(this.#usualMs, Math.min(2 * this.#allowedMs, MOST_MS));
		this.#onSilence();
	}
}
