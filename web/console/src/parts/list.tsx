// A list of which only what is in sight is drawn. It follows the newest item until the reader scrolls away; then it
// stands still, and says how many have come since.

import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useLayoutEffect, useRef, useState } from "react";
import { Button } from "./controls.tsx";
import { count } from "./format.ts";

const NEAR = 24; // pixels from the live edge that still count as at it

interface ListProps<Item> {
	readonly label: string;
	/** Oldest first. */
	readonly items: readonly Item[];
	readonly keyOf: (item: Item) => number;
	readonly draw: (item: Item) => ReactNode;
	readonly empty: ReactNode;
	/** Where the newest stands. */
	readonly newest: "top" | "bottom";
	/** Pixels that an item usually takes. */
	readonly usual: number;
	/** Whether each item is a button: one stop for the Tab key, and the arrow keys go from item to item. */
	readonly choosable?: boolean;
}

export function List<Item>(props: ListProps<Item>) {
	const { label, items, keyOf, draw, empty, newest, usual, choosable } = props;
	const box = useRef<HTMLDivElement>(null);
	const [held, setHeld] = useState<readonly Item[]>();
	if (held !== undefined && !items.length) setHeld(undefined); // what was cleared does not come back
	const drawn = held ?? items;
	const at = (index: number) => drawn[newest === "top" ? drawn.length - 1 - index : index] as Item;
	const rows = useVirtualizer({
		count: drawn.length,
		getScrollElement: () => box.current,
		estimateSize: () => usual,
		getItemKey: (index) => keyOf(at(index)),
		overscan: 6,
	});
	const toEdge = () => {
		const element = box.current;
		if (element) element.scrollTop = newest === "top" ? 0 : element.scrollHeight;
	};
	useLayoutEffect(() => {
		if (held === undefined) toEdge();
	});
	const onScroll = () => {
		const element = box.current;
		if (!element) return;
		const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
		const away = (newest === "top" ? element.scrollTop : fromEnd) > NEAR;
		if (away && held === undefined) setHeld(items);
		if (!away && held !== undefined && !isInside(element)) setHeld(undefined);
	};
	/** What has the focus must not move away: the list stands still. */
	const onFocus = () => {
		if (choosable && held === undefined && box.current && isInside(box.current)) setHeld(items);
	};
	const onKeyDown = (event: KeyboardEvent) => {
		const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
		if (!choosable || step === undefined || !box.current) return;
		event.preventDefault();
		const buttons = [...box.current.querySelectorAll("button")];
		const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
		const inSight = buttons.filter((one) => isInSight(one, box.current as HTMLElement));
		const next = at >= 0 ? buttons[at + step] : inSight.at(newest === "top" ? 0 : -1);
		next?.focus();
	};
	const newer = held === undefined ? 0 : newerThan(held, items, keyOf);
	if (!items.length) return <div className="list-box vacant">{empty}</div>;
	return (
		<div className="list-box">
			<section
				className="list"
				ref={box}
				onScroll={onScroll}
				onFocus={onFocus}
				onKeyDown={onKeyDown}
				// biome-ignore lint/a11y/noNoninteractiveTabindex: a place that scrolls takes the focus to be scrolled by keys
				tabIndex={0}
				aria-label={label}
			>
				<ul className="list-all" style={{ height: rows.getTotalSize() }}>
					{rows.getVirtualItems().map((row) => (
						<li
							key={row.key}
							ref={rows.measureElement}
							data-index={row.index}
							aria-setsize={drawn.length}
							aria-posinset={row.index + 1}
							className="list-item"
							style={{ transform: `translateY(${row.start}px)` }}
						>
							{draw(at(row.index))}
						</li>
					))}
				</ul>
			</section>
			{newer > 0 && (
				<Button
					className={`newer ${newest}`}
					small
					look="primary"
					onClick={() => {
						setHeld(undefined);
						toEdge();
					}}
				>
					{count(newer)} new
				</Button>
			)}
		</div>
	);
}

/** Whether the focus is on something in *element*, rather than on it or elsewhere. */
function isInside(element: HTMLElement): boolean {
	return document.activeElement !== element && element.contains(document.activeElement);
}

function isInSight(one: HTMLElement, box: HTMLElement): boolean {
	const [inner, outer] = [one.getBoundingClientRect(), box.getBoundingClientRect()];
	return inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
}

function newerThan<Item>(
	held: readonly Item[],
	items: readonly Item[],
	keyOf: (item: Item) => number,
): number {
	const last = held.at(-1);
	return last === undefined ? items.length : items.filter((item) => keyOf(item) > keyOf(last)).length;
}
