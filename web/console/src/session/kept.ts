// What the browser keeps for this page: of this tab, or for good. Where it refuses that (site data that is blocked, no room
// left), it is kept in memory, until the page goes.

class Kept {
	readonly #storage: () => Storage;
	readonly #here = new Map<string, string>();

	/** @param storage A function, for asking for it may throw. */
	constructor(storage: () => Storage) {
		this.#storage = storage;
	}

	get(key: string): string | null {
		try {
			return this.#storage().getItem(key) ?? this.#here.get(key) ?? null;
		} catch {
			return this.#here.get(key) ?? null;
		}
	}

	set(key: string, value: string): void {
		try {
			this.#storage().setItem(key, value);
		} catch {
			this.#here.set(key, value);
		}
	}

	delete(key: string): void {
		this.#here.delete(key);
		try {
			this.#storage().removeItem(key);
		} catch {
			// then it was not there
		}
	}
}

export const ofTab = new Kept(() => sessionStorage);
export const forGood = new Kept(() => localStorage);
