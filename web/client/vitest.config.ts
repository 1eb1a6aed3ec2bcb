import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.{ts,tsx}"],
		setupFiles: ["test/linger.ts"],
		testTimeout: 15_000,
		maxWorkers: 4, // much of a test is waiting
		restoreMocks: true,
		dangerouslyIgnoreUnhandledErrors: false,
	},
});
