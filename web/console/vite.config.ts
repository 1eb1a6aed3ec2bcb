// How the console is built: into the package that serves it, every file named by its hash and gzipped beside itself.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const dist = here("../../handlers/console_dist");
const service = process.env.SSE_PUSH_URL ?? "http://127.0.0.1:8000";

function gzipped(): Plugin {
	return {
		name: "gzipped",
		apply: "build",
		closeBundle() {
			const files = readdirSync(`${dist}/assets`).map((name) => `${dist}/assets/${name}`);
			for (const file of [`${dist}/index.html`, ...files])
				writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
		},
	};
}

export default defineConfig({
	base: "./", // so that it works under any path of a proxy
	plugins: [react(), gzipped()],
	resolve: {
		alias: [
			// From its sources: nothing has to be built first.
			{ find: /^sse-push-client\/react$/, replacement: here("../client/src/react.ts") },
			{ find: /^sse-push-client$/, replacement: here("../client/src/index.ts") },
		],
		dedupe: ["react", "react-dom"],
	},
	build: {
		outDir: dist,
		emptyOutDir: true,
		target: "es2022",
		assetsInlineLimit: 0, // the policy allows no data: URLs
		modulePreload: { polyfill: false },
		reportCompressedSize: false,
	},
	server: {
		proxy: Object.fromEntries(
			[
				"/api",
				"/chat",
				"/custom",
				"/docs",
				"/functions",
				"/notifications",
				"/openapi.json",
				"/realtime",
				"/sse",
				"/system",
				"/v1",
			].map((path) => [path, service]),
		),
	},
});
