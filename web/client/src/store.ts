/**
 * A value that changes, for views: the same object until it does, and held only while somebody watches.
 *
 * The form is that of React's `useSyncExternalStore`. Knows no framework and no streams.
 */

/** Milliseconds between two looks of a view: a burst of events is one change. */
const FRAME_MS = 16;

export abstract class Store<Value> {
	readonly #watchers = new Set<() => void>();
	#value: Value;
	#isStale = false;
	#toldAt = 0;
	#isTelling = false;

	constructor(first: Value) {
		this.#value = first;
	}

	/** The first watcher came. */
	protected abstract open(): void;
	/** The last watcher left. */
	protected abstract close(): void;
	/** The value as it is now, made from what the subclass keeps. *before* is what was shown last. */
	protected abstract make(before: Value): Value;

	/** The value; the same one until something changes. */
	readonly snapshot = (): Value => {
		if (this.#isStale) {
			this.#isStale = false;
			this.#value = this.make(this.#value);
		}
		return this.#value;
	};

	/** Have *watcher* called after changes, until the function that is returned is called. */
	readonly watch = (watcher: () => void): (() => void) => {
		const own = () => watcher(); // the same function may watch twice
		this.#watchers.add(own);
		if (this.#watchers.size === 1) this.open();
		return () => {
			if (this.#watchers.delete(own) && this.#watchers.size === 0) this.close();
		};
	};

	/** What the subclass keeps has changed. */
	protected changed(): void {
		this.#isStale = true;
		if (this.#isTelling) return;
		this.#isTelling = true;
		const wait = Math.min(this.#toldAt + FRAME_MS - Date.now(), FRAME_MS); // clocks are set back, too
		if (wait > 0) setTimeout(() => this.#tell(), wait);
		else queueMicrotask(() => this.#tell());
	}

	#tell(): void {
		this.#isTelling = false;
		this.#toldAt = Date.now();
		for (const watcher of [...this.#watchers]) watcher();
	}
}

/** Keep the newest *limit* of *list*. */
export function trim(list: unknown[], limit: number): void {
	if (list.length > limit) list.splice(0, list.length - limit);
}
