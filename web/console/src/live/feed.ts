// A bounded list that many things are pushed into and a page looks at: pushes of one frame are one change, and what
// is over the bound goes. Knows nothing of React or of events.

const HIDDEN_MS = 500; // animation frames stop in hidden pages; their lists shall not fall behind for good

let waiting: (() => void)[] = [];
let scheduled = false;

/** Run *change* with the next frame, together with all others that want so. */
export function nextFrame(change: () => void): void {
	waiting.push(change);
	if (scheduled) return;
	scheduled = true;
	if (document.hidden) setTimeout(runAll, HIDDEN_MS);
	else requestAnimationFrame(runAll);
}

function runAll(): void {
	const changes = waiting;
	waiting = [];
	scheduled = false;
	for (const change of changes) change();
}

// A frame asked for while the page was seen does not come once it is hidden.
document.addEventListener("visibilitychange", () => {
	if (scheduled) runAll();
});

export class Feed<Item> {
	readonly capacity: number;
	#items: readonly Item[] = [];
	#fresh: Item[] = [];
	#seq = 0;
	#total = 0;
	#listeners = new Set<() => void>();

	/** @param capacity How many items are kept, the newest. */
	constructor(capacity: number) {
		this.capacity = capacity;
	}

	/** Add what *make* makes of a number that rises. */
	push(make: (seq: number) => Item): void {
		this.#fresh.push(make(++this.#seq));
		this.#total += 1;
		if (this.#fresh.length === 1) nextFrame(this.#settle);
		else if (this.#fresh.length > 2 * this.capacity) this.#fresh.splice(0, this.capacity);
	}

	/** Oldest first; the same array until something changed. */
	readonly items = (): readonly Item[] => this.#items;

	/** How many were ever pushed. */
	readonly total = (): number => this.#total;

	clear(): void {
		this.#fresh = [];
		this.#items = [];
		this.#tell();
	}

	readonly subscribe = (listener: () => void): (() => void) => {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	};

	readonly #settle = (): void => {
		if (!this.#fresh.length) return;
		this.#items = [...this.#items, ...this.#fresh].slice(-this.capacity);
		this.#fresh = [];
		this.#tell();
	};

	#tell(): void {
		for (const listener of this.#listeners) listener();
	}
}

/** One value that a page looks at; changes of one frame are one change. */
export class Cell<Value> {
	#value: Value;
	#shown: Value;
	#waits = false;
	#listeners = new Set<() => void>();

	constructor(value: Value) {
		this.#value = value;
		this.#shown = value;
	}

	/** As it is shown: of the last frame. */
	readonly get = (): Value => this.#shown;

	/** As it is. */
	get now(): Value {
		return this.#value;
	}

	set(value: Value): void {
		this.#value = value;
		if (this.#waits) return;
		this.#waits = true;
		nextFrame(() => {
			this.#waits = false;
			if (Object.is(this.#shown, this.#value)) return;
			this.#shown = this.#value;
			for (const listener of this.#listeners) listener();
		});
	}

	update(change: (value: Value) => Value): void {
		this.set(change(this.#value));
	}

	readonly subscribe = (listener: () => void): (() => void) => {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	};
}
