// How React sees feeds, cells and the clock.

import { createContext, useContext, useEffect, useState, useSyncExternalStore } from "react";
import type { Cell, Feed } from "../live/feed.ts";
import type { Live } from "../live/live.ts";
import type { Session } from "../session/session.ts";

export interface Desk {
	readonly session: Session;
	readonly live: Live;
	readonly signOut: (why?: string) => void;
}

export const DeskContext = createContext<Desk | undefined>(undefined);

export function useDesk(): Desk {
	const desk = useContext(DeskContext);
	if (desk === undefined) throw new Error("outside of the desk");
	return desk;
}

export function useFeed<Item>(feed: Feed<Item>): readonly Item[] {
	return useSyncExternalStore(feed.subscribe, feed.items);
}

export function useTotal(feed: Feed<unknown>): number {
	return useSyncExternalStore(feed.subscribe, feed.total);
}

export function useCell<Value>(cell: Cell<Value>): Value {
	return useSyncExternalStore(cell.subscribe, cell.get);
}

/** The time, anew each *everyMs* while *running*. */
export function useNow(everyMs = 1000, running = true): number {
	const [now, setNow] = useState(Date.now);
	useEffect(() => {
		if (!running) return;
		setNow(Date.now());
		const timer = setInterval(() => setNow(Date.now()), everyMs);
		return () => clearInterval(timer);
	}, [everyMs, running]);
	return now;
}
