/** Runs with each file of tests. Streams linger when nobody watches them any more, and want their window when they close. */
import { afterAll } from "vitest";
import { LINGER_MS } from "../src/shared.ts";

if (typeof window !== "undefined") {
	// The window goes after the last test. What lingers because of what lingers, a room's stream, takes as long again.
	afterAll(() => new Promise((done) => setTimeout(done, 2 * LINGER_MS)));
}
