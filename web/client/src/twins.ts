/**
 * Two sources tell of the same thing, each once, in either order, and with no id in common: each is to be shown once.
 */

/** Milliseconds that the second may be behind the first: a turn may take 30 s, a stream as long to come back. */
const WITHIN_MS = 120_000;
/** Of those that wait for their twin; past it the oldest is forgotten. */
const MOST = 500;

export class Twins {
	#waiting: { source: string; key: string; at: number }[] = [];

	/** Whether *source* tells of what no other source has told yet. */
	isNew(source: string, ...facts: string[]): boolean {
		const key = JSON.stringify(facts);
		const now = Date.now();
		this.#waiting = this.#waiting.filter(({ at }) => now - at < WITHIN_MS).slice(-MOST);
		const at = this.#waiting.findIndex((one) => one.key === key && one.source !== source);
		if (at < 0) this.#waiting.push({ source, key, at: now });
		else this.#waiting.splice(at, 1);
		return at < 0;
	}
}
