// How long is waited after a failure, and which failures are final.
import { expect, test } from "vitest";
import { Backoff, MAX_RETRY_AFTER_MS } from "../src/backoff.ts";
import { parseRetryAfter, StreamError } from "../src/errors.ts";

const least = () => 0;
const most = () => 1;

test("waits double with each failure, up to the most", () => {
	const backoff = new Backoff({ minMs: 1000, maxMs: 6000, random: most });
	expect([1, 2, 3, 4, 5].map(() => backoff.next())).toEqual([1000, 2000, 4000, 6000, 6000]);
	expect(backoff.failures).toBe(5);
});

test("a wait is at least half of its ceiling", () => {
	const backoff = new Backoff({ minMs: 1000, random: least });
	expect([backoff.next(), backoff.next()]).toEqual([500, 1000]);
});

test("waits begin anew after a reset", () => {
	const backoff = new Backoff({ minMs: 1000, random: most });
	backoff.next();
	backoff.next();
	backoff.reset();
	expect(backoff.next()).toBe(1000);
});

test("the service's retry is what waits begin with", () => {
	const backoff = new Backoff({ random: most });
	backoff.setRetry(700);
	expect([backoff.next(), backoff.next()]).toEqual([700, 1400]);
});

test("a retry of nothing and one of an age are bounded", () => {
	const backoff = new Backoff({ maxMs: 5000, random: most });
	backoff.setRetry(0);
	expect(backoff.next()).toBe(100);
	backoff.setRetry(10 ** 12);
	expect(backoff.next()).toBe(5000);
});

test("Retry-After is a floor, spread upwards", () => {
	expect(new Backoff({ minMs: 1000, random: least }).next(10_000)).toBe(10_000);
	expect(new Backoff({ minMs: 1000, random: most }).next(10_000)).toBe(12_500);
	expect(new Backoff({ minMs: 20_000, random: most }).next(10_000)).toBe(20_000);
	expect(new Backoff({ random: least }).next(10 ** 12)).toBe(MAX_RETRY_AFTER_MS);
});

test("any number of failures gives a number", () => {
	const backoff = new Backoff({ random: most });
	for (let n = 0; n < 5000; n++) backoff.next();
	expect(backoff.next()).toBe(30_000);
});

test("Retry-After is seconds or a date", () => {
	const now = Date.parse("2026-01-18T10:30:00Z");
	expect(parseRetryAfter("10", now)).toBe(10_000);
	expect(parseRetryAfter("Sun, 18 Jan 2026 10:31:00 GMT", now)).toBe(60_000);
	expect(parseRetryAfter("Sun, 18 Jan 2026 10:29:00 GMT", now)).toBe(0);
	expect(parseRetryAfter("soon", now)).toBeUndefined();
	expect(parseRetryAfter(null, now)).toBeUndefined();
});

test("which statuses are final", () => {
	const isFinal = (status: number) => new StreamError("http", "", { status }).final;
	expect([204, 400, 403, 404, 405, 410, 422].map(isFinal)).not.toContain(false);
	expect([401, 408, 425, 429, 500, 502, 503, 504].map(isFinal)).not.toContain(true);
});
