/**
 * Where a tab stands in the events that the leading tab passes on, so that none is missed and none shown twice: each
 * batch names the position that it follows on.
 *
 * Pure; knows ids as text that is the same or not. It also holds the newest events, for tabs that are behind.
 */

import type { RawEvent } from "./parser.ts";

/** An event and the topic it is of. */
export interface Item extends RawEvent {
	readonly topic: string;
}

/** What one read of the stream brought. */
export interface Batch {
	/** Where the stream stood before it. */
	readonly from: string;
	readonly items: readonly Item[];
	/** Where it stood after it. */
	readonly to: string;
}

/** Positions remembered, and characters of the events held with them. A tab that is further behind is told a gap. */
const MOST_MARKS = 1000;
const MOST_CHARS = 2_000_000;

interface Mark {
	readonly at: string;
	readonly item: Item | null;
}

export class Chain {
	/** Null before anything is known. */
	position: string | null = null;
	#marks: Mark[] = [];
	#chars = 0;

	/** The stream that this tab reads itself stands at *id*. */
	moveTo(id: string): void {
		this.position = id;
		this.#remember({ at: id, item: null });
	}

	/** It gave *item*. */
	append(item: Item): void {
		if (item.id !== "") this.#remember({ at: item.lastEventId, item });
	}

	/**
	 * What of *batch* is new here; null when events before it are missing.
	 *
	 * Events without an id are always new: they are passed on once, and never given again.
	 */
	take({ from, items, to }: Batch): readonly Item[] | null {
		let fresh: readonly Item[];
		if (this.position === null) this.moveTo(from);
		if (from === this.position) fresh = items;
		else {
			const seen = items.findLastIndex(({ id, lastEventId }) => id !== "" && lastEventId === this.position);
			if (seen >= 0) fresh = items.filter(({ id }, at) => at > seen || id === "");
			else if (this.knows(to)) return items.filter(({ id }) => id === "");
			else return null;
		}
		for (const item of fresh) this.append(item);
		if (to !== this.position) this.moveTo(to);
		return fresh;
	}

	/** Whether this tab has been at *id*. */
	knows(id: string): boolean {
		return id === this.position || this.#marks.some(({ at }) => at === id);
	}

	/** All after *id*; null when that is not known any more. */
	after(id: string): Batch | null {
		if (this.position === null) return null;
		const last = this.#marks.findLastIndex(({ at }) => at === id);
		if (last < 0 && id !== this.position) return null;
		const items = last < 0 ? [] : this.#marks.slice(last + 1).flatMap(({ item }) => item ?? []);
		return { from: id, items, to: this.position };
	}

	#remember(mark: Mark): void {
		this.#marks.push(mark);
		this.#chars += mark.item?.data.length ?? 0;
		while (this.#marks.length > MOST_MARKS || this.#chars > MOST_CHARS) {
			this.#chars -= this.#marks.shift()?.item?.data.length ?? 0;
		}
	}
}
