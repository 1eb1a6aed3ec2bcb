// How often a view is told of changes.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Store } from "../src/store.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

class Count extends Store<number> {
	#count = 0;

	constructor() {
		super(0);
	}

	protected override open(): void {}
	protected override close(): void {}
	protected override make(): number {
		return this.#count;
	}

	add(): void {
		this.#count += 1;
		this.changed();
	}
}

test("a burst of changes is told twice at most: at once, and after a frame", async () => {
	const count = new Count();
	const told: number[] = [];
	count.watch(() => told.push(count.snapshot()));
	for (let n = 0; n < 100; n++) {
		count.add();
		await vi.advanceTimersByTimeAsync(0);
	}
	await vi.advanceTimersByTimeAsync(16);
	expect(told).toEqual([1, 100]);
});

test("a clock that is set back does not hold changes up", async () => {
	const count = new Count();
	const told: number[] = [];
	count.watch(() => told.push(count.snapshot()));
	count.add();
	await vi.advanceTimersByTimeAsync(0);
	vi.setSystemTime(Date.now() - 3_600_000);
	count.add();
	await vi.advanceTimersByTimeAsync(16);
	expect(told).toEqual([1, 2]);
});
