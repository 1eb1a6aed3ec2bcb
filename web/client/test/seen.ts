/** One open stream, and all that its callbacks were told. */

import { onTestFinished } from "vitest";
import type { Gap, Stream, StreamEvent, StreamOptions, StreamStatus } from "../src/index.ts";
import { openStream } from "../src/index.ts";
import type { TestServer } from "./server.ts";

export interface Seen {
	stream: Stream;
	events: StreamEvent[];
	gaps: Gap[];
	states: StreamStatus[];
	comments: string[];
	expired: number;
}

export function open(server: TestServer, options: Partial<StreamOptions> = {}): Seen {
	const seen: Omit<Seen, "stream"> = { events: [], gaps: [], states: [], comments: [], expired: 0 };
	const stream = openStream({
		url: server.url,
		minMs: 100,
		random: () => 0,
		onEvent: (event) => seen.events.push(event),
		onGap: (gap) => seen.gaps.push(gap),
		onState: (status) => seen.states.push(status),
		onFrame: (frame) => frame.kind === "comment" && seen.comments.push(frame.text),
		onExpired: () => {
			seen.expired += 1;
		},
		...options,
	});
	onTestFinished(() => stream.close());
	return Object.assign(seen, { stream });
}

export const stateNames = (seen: Seen) => seen.states.map(({ state }) => state);
export const texts = (seen: Seen) => seen.events.map(({ text }) => text);
