// When a stream counts as fallen silent.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Watchdog } from "../src/watchdog.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watch(): { dog: Watchdog; barks: () => number } {
	let barks = 0;
	const dog = new Watchdog(15_000, () => {
		barks += 1;
	});
	dog.start();
	return { dog, barks: () => barks };
}

test("three heartbeats that do not come are silence, told once", () => {
	const { barks } = watch();
	vi.advanceTimersByTime(44_999);
	expect(barks()).toBe(0);
	vi.advanceTimersByTime(600_000);
	expect(barks()).toBe(1);
});

test("a stream with heartbeats is left alone", () => {
	const { dog, barks } = watch();
	for (let n = 0; n < 100; n++) {
		vi.advanceTimersByTime(40_000);
		dog.feed();
	}
	expect(barks()).toBe(0);
	vi.advanceTimersByTime(45_000);
	expect(barks()).toBe(1);
});

test("a service that beats more slowly is given more time, until it beats", () => {
	const { dog, barks } = watch();
	vi.advanceTimersByTime(45_000);
	dog.start();
	vi.advanceTimersByTime(89_999);
	expect(barks()).toBe(1);
	vi.advanceTimersByTime(1);
	expect(barks()).toBe(2);
	dog.start();
	dog.beat();
	vi.advanceTimersByTime(45_000);
	expect(barks()).toBe(3);
	for (let n = 0; n < 10; n++) {
		dog.start();
		vi.advanceTimersByTime(300_000);
	}
	expect(barks()).toBe(13);
});

test("a stopped one says nothing, and nothing runs on", () => {
	const { dog, barks } = watch();
	dog.stop();
	dog.check();
	vi.advanceTimersByTime(600_000);
	expect([barks(), vi.getTimerCount()]).toEqual([0, 0]);
});

test("a look finds at once what a late timer would", () => {
	const { dog, barks } = watch();
	vi.setSystemTime(Date.now() + 3_600_000);
	dog.check();
	expect(barks()).toBe(1);
});

test("a clock that is set back does not put it to sleep", () => {
	const { barks } = watch();
	vi.setSystemTime(Date.now() - 3_600_000);
	vi.advanceTimersByTime(90_000);
	expect(barks()).toBe(1);
});

test("heartbeats that are never to come are not waited for in a loop", () => {
	let barks = 0;
	const dog = new Watchdog(Number.POSITIVE_INFINITY, () => {
		barks += 1;
	});
	const set = vi.spyOn(globalThis, "setTimeout");
	dog.start();
	vi.advanceTimersByTime(86_400_000);
	expect([barks, set.mock.calls.length]).toEqual([0, 1]);
});

test("after a silence it never waits for less than three heartbeats", () => {
	let barks = 0;
	const dog = new Watchdog(200_000, () => {
		barks += 1;
	});
	dog.start();
	vi.advanceTimersByTime(600_000);
	dog.start();
	vi.advanceTimersByTime(599_999);
	expect(barks).toBe(1);
});
