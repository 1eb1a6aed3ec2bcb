// Builds the examples of docs/clients.md into dist-examples, for the tests in a browser (tests/e2e/test_client_guide.py).
// Each block with a name becomes a file of that name as it stands; main.js gives the page all of them.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { build } from "vite";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const guide = readFileSync(resolve(root, "../../docs/clients.md"), "utf8");
const outDir = join(root, "dist-examples");
const sources = mkdtempSync(join(root, "dist-examples-")); // within the package, so that imports are found

const names = [];
for (const [, name, code] of guide.matchAll(/^```(?:js|jsx|vue) name=(\S+)\n(.*?)^```$/gms)) {
	writeFileSync(join(sources, name), code);
	names.push(name);
}
const imports = names.map((name, at) => `import * as example${at} from "./${name}";`);
const entries = names.map((name, at) => `${JSON.stringify(name)}: example${at}`);
writeFileSync(
	join(sources, "main.js"),
	`import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createApp } from "vue";
${imports.join("\n")}
window.examples = { ${entries.join(", ")} };
window.showReact = (name, props) => {
	const [Component] = Object.values(window.examples[name]);
	const element = createElement(StrictMode, null, createElement(Component, props));
	createRoot(document.body.appendChild(document.createElement("main"))).render(element);
};
window.showVue = (name, props) => {
	createApp(window.examples[name].default, props).mount(document.body.appendChild(document.createElement("main")));
};
`,
);
await build({
	root: sources,
	configFile: false,
	logLevel: "error",
	plugins: [vue()],
	define: { "process.env.NODE_ENV": '"development"' },
	build: {
		outDir,
		emptyOutDir: true,
		minify: false,
		lib: { entry: join(sources, "main.js"), formats: ["es"], fileName: "main" },
	},
});
writeFileSync(join(outDir, "clients.md"), guide); // of which guide these are
rmSync(sources, { recursive: true });
