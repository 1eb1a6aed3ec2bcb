// The tabs there are, and which one the address names.

import { useSyncExternalStore } from "react";
import type { IconName } from "../parts/icon.tsx";

export const TABS = [
	{ name: "notifications", title: "Notifications", icon: "bell" },
	{ name: "realtime", title: "Real-time", icon: "pulse" },
	{ name: "chat", title: "Chat", icon: "chat" },
	{ name: "group-chat", title: "Group chat", icon: "group" },
	{ name: "presence", title: "Presence", icon: "people" },
	{ name: "system", title: "System", icon: "gauge" },
	{ name: "redirect", title: "Redirect", icon: "redirect" },
	{ name: "inspector", title: "Inspector", icon: "inspect" },
] as const satisfies readonly { name: string; title: string; icon: IconName }[];

export type TabName = (typeof TABS)[number]["name"];

let newest: TabName = "notifications";

/** The tab behind `#/`. In the fragment, so that the service needs to know of one page alone; another fragment leads to a
 * place within the page, and changes no tab. */
export function useTab(): TabName {
	return useSyncExternalStore(subscribe, current);
}

function current(): TabName {
	const named = TABS.find((tab) => location.hash === `#/${tab.name}`);
	if (named !== undefined) newest = named.name;
	return newest;
}

function subscribe(listener: () => void): () => void {
	window.addEventListener("hashchange", listener);
	return () => window.removeEventListener("hashchange", listener);
}
