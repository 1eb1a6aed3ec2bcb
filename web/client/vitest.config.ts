import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.{ts,tsx}"],
		testTimeout: 5000,
		restoreMocks: true,
		dangerouslyIgnoreUnhandledErrors: false,
	},
});
