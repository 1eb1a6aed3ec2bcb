/**
 * Reads an event stream by the rules of the WHATWG standard (HTML, section 9.2.6): bytes in, events out.
 *
 * Knows the form of a stream and nothing else: no network, no time, no `sse.` names, no JSON.
 */

/** An event as it stood in the stream. */
export interface RawEvent {
	/** The `event:` line, or `message`. */
	readonly event: string;
	/** The `data:` lines, joined by LF. */
	readonly data: string;
	/** The event's own `id:`; empty where it had none. */
	readonly id: string;
	/** The last id of the stream up to here, as EventSource gives it: what to resume from. */
	readonly lastEventId: string;
}

export interface ParserHandlers {
	onEvent(event: RawEvent): void;
	/** `retry:`, in milliseconds. */
	onRetry?(ms: number): void;
	/** A line that begins with a colon, without it; the service's heartbeat is ` hb`. */
	onComment?(text: string): void;
	/** A frame had an `id:`, with data or without: a stream that breaks now resumes from there. */
	onPosition?(lastEventId: string): void;
}

export interface Parser {
	/** Read the next bytes of the stream, cut wherever the network cut them.
	 *
	 * @throws {RangeError} One event is longer than {@link MAX_EVENT_CHARS}.
	 */
	push(chunk: Uint8Array): void;
}

/** Characters of one event. The service's own limit is 65,536 bytes of data. */
export const MAX_EVENT_CHARS = 4_194_304;

/**
 * A reader of one stream; a stream that is opened anew needs a new one.
 *
 * @param lastEventId What the stream was resumed from: events without an id carry it on.
 */
export function createParser(handlers: ParserHandlers, lastEventId = ""): Parser {
	const decoder = new TextDecoder(); // takes one byte order mark from the beginning
	let rest = ""; // of a line that has not ended
	let afterCr = false; // a LF now would be the second half of a CRLF
	let idSoFar = lastEventId; // the standard's "last event ID buffer"
	let position = lastEventId;
	let ownId = "";
	let event = "";
	let data: string[] = [];
	let chars = 0;

	function push(chunk: Uint8Array): void {
		let text = decoder.decode(chunk, { stream: true });
		if (afterCr && text !== "") {
			if (text[0] === "\n") text = text.slice(1);
			afterCr = false;
		}
		if (text === "") return;
		const ends = /\r\n|\r|\n/g;
		let from = 0;
		for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
			const line = rest + text.slice(from, end.index);
			rest = "";
			from = ends.lastIndex;
			afterCr = end[0] === "\r" && from === text.length;
			takeLine(line);
		}
		rest += text.slice(from);
		checkLength(rest.length);
	}

	function checkLength(more: number): void {
		if (chars + more > MAX_EVENT_CHARS)
			throw new RangeError(`an event is longer than ${MAX_EVENT_CHARS} characters`);
	}

	function takeLine(line: string): void {
		if (line === "") {
			dispatch();
			return;
		}
		const colon = line.indexOf(":");
		if (colon === 0) {
			handlers.onComment?.(line.slice(1));
			return;
		}
		const name = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
		takeField(name, value);
	}

	function takeField(name: string, value: string): void {
		if (name === "data") {
			checkLength(value.length);
			chars += value.length + 1;
			data.push(value);
		} else if (name === "event") event = value;
		else if (name === "id" && !value.includes("\0")) ownId = idSoFar = value;
		else if (name === "retry" && /^[0-9]+$/.test(value)) handlers.onRetry?.(Number(value));
	}

	function dispatch(): void {
		const made: RawEvent = {
			event: event || "message",
			data: data.join("\n"),
			id: ownId,
			lastEventId: idSoFar,
		};
		const isEvent = data.length > 0;
		event = ownId = "";
		data = [];
		chars = 0;
		if (position !== idSoFar) {
			position = idSoFar;
			handlers.onPosition?.(position);
		}
		if (isEvent) handlers.onEvent(made);
	}

	return { push };
}
