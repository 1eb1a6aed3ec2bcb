// Builds the package: modules and types by tsc, then tells what an application pays for them, and fails over the limit.

import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

// Bytes, minified and gzipped, without the framework: what a page loads at once. A page that only wants to listen should
// not notice the client.
const LIMITS = {
	"dist/stream.js": [4608, "one stream, for those who import nothing else"],
	"dist/index.js": [9216, "all of the core"],
	"dist/react.js": [9216, "the hooks with the core beneath"],
	"dist/vue.js": [9216, "the composables with the core beneath"],
	"dist/between_tabs.js": [
		9216,
		"what shares a connection with other tabs, loaded when it does; half is there already",
	],
};

rmSync(resolve(root, "dist"), { recursive: true, force: true });
const made = spawnSync("tsc", ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit", shell: false });
if (made.error) throw made.error;
if (made.status !== 0) process.exit(made.status ?? 1);

let isOver = false;
for (const [entry, [limit, what]] of Object.entries(LIMITS)) {
	const bytes = await gzippedBytes(entry);
	console.log(`${entry.padEnd(16)} ${String(bytes).padStart(6)} bytes gzipped, of ${limit}: ${what}`);
	if (bytes > limit) {
		console.error(`${entry} is over its limit of ${limit} bytes: ${what}`);
		isOver = true;
	}
}
process.exit(isOver ? 1 : 0);

async function gzippedBytes(entry) {
	const outcome = await build({
		root,
		configFile: false,
		logLevel: "error",
		build: {
			write: false,
			minify: true,
			lib: { entry: resolve(root, entry), formats: ["es"] },
			rolldownOptions: { external: ["react", "vue"], output: { minify: true } },
		},
	});
	const chunks = [outcome].flat().flatMap((one) => one.output);
	const known = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
	const atOnce = new Set();
	const take = (name) => {
		if (atOnce.has(name) || !known.has(name)) return;
		atOnce.add(name);
		known.get(name).imports.forEach(take);
	};
	take(chunks.find((chunk) => chunk.isEntry).fileName);
	return [...atOnce].reduce((sum, name) => sum + gzipSync(known.get(name).code, { level: 9 }).length, 0);
}
