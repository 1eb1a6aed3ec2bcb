/** Web Locks for tests in Node, which has none before 24: one queue for each name, as the standard orders it. */

interface Holder {
	name: string;
	end: (stolen: boolean) => void;
}

export class FakeLocks {
	#held: Holder[] = [];
	#waiting: { name: string; grant: () => void }[] = [];

	async request(
		name: string,
		{ signal, steal }: LockOptions,
		callback: () => Promise<void> | undefined,
	): Promise<void> {
		if (steal) {
			for (const holder of this.#held.filter((one) => one.name === name)) holder.end(true);
		} else if (this.#held.some((one) => one.name === name)) {
			await new Promise<void>((resolve, reject) => {
				const waiter = { name, grant: resolve };
				this.#waiting.push(waiter);
				signal?.addEventListener("abort", () => {
					this.#waiting = this.#waiting.filter((one) => one !== waiter);
					reject(new DOMException("gave up", "AbortError"));
				});
			});
		}
		await Promise.resolve();
		await this.#hold(name, callback);
	}

	#hold(name: string, callback: () => Promise<void> | undefined): Promise<void> {
		return new Promise((resolve, reject) => {
			const holder: Holder = {
				name,
				end: (stolen) => {
					if (!this.#held.includes(holder)) return;
					this.#held = this.#held.filter((one) => one !== holder);
					if (stolen) {
						reject(new DOMException("stolen", "AbortError"));
						return;
					}
					resolve();
					const next = this.#waiting.findIndex((one) => one.name === name);
					if (next >= 0) this.#waiting.splice(next, 1)[0]?.grant();
				},
			};
			this.#held.push(holder);
			void Promise.resolve(callback()).then(() => holder.end(false));
		});
	}

	async query(): Promise<{ held: { name: string }[] }> {
		return { held: this.#held.map(({ name }) => ({ name })) };
	}
}
