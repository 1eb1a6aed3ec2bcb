// Light, dark, or as the system has it. That choice may be kept for good; the token may not.

import { forGood } from "./kept.ts";

type Theme = "auto" | "light" | "dark";

const KEY = "sse-push.theme";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];

export function rememberedTheme(): Theme {
	const kept = forGood.get(KEY) as Theme;
	return THEMES.includes(kept) ? kept : "auto";
}

export function applyTheme(theme: Theme): void {
	if (theme === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
}

export function chooseTheme(theme: Theme): void {
	forGood.set(KEY, theme);
	applyTheme(theme);
}

export function nextTheme(theme: Theme): Theme {
	return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme;
}
