/**
 * Events as applications get them, and callbacks that can't hurt the stream that calls them.
 */

import type { StreamEvent } from "./options.ts";
import type { RawEvent } from "./parser.ts";

/** JSON is parsed; what is none is text that was published as text. */
export function toEvent(raw: RawEvent): StreamEvent {
	const { id, event, data, lastEventId } = raw;
	return { id, event, data: parsed(data), text: data, lastEventId };
}

function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}

/** Call *callback*; what it throws is reported as an uncaught error, as the browser does for its own events. */
export function guarded(callback: () => void): void {
	try {
		callback();
	} catch (error) {
		queueMicrotask(() => {
			throw error;
		});
	}
}
