/** Waiting, in tests, for what comes over a network: often looked for, and long enough for a busy machine. */

import { expect, vi } from "vitest";

export const until = (condition: () => unknown) =>
	vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 10_000, interval: 5 });
