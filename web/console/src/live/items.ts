// What pages show of the wire: events by topic, frames as they came, the figures of a connection. Types, and how they
// are made of what the client gives.

import type { Frame, StreamEvent } from "sse-push-client";

/** An event of one topic. */
export interface Item<Data = unknown> {
	readonly seq: number;
	/** When it came here, in milliseconds since the epoch. */
	readonly at: number;
	readonly id: string;
	readonly topic: string;
	/** The publisher's name for it, where there is one. */
	readonly name: string;
	readonly data: Data;
}

export type Kind = "event" | "heartbeat" | "retry" | "position" | "gap" | "expired" | "state";

/** A line of the inspector: a frame, or what became of the connection. */
export interface Row {
	readonly seq: number;
	readonly at: number;
	readonly kind: Kind;
	readonly id: string;
	readonly name: string;
	readonly text: string;
	/** As it stood on the wire. */
	readonly raw: string;
}

export interface Stats {
	readonly received: number;
	readonly heartbeats: number;
	readonly reconnects: number;
	readonly gaps: number;
	readonly lastId: string;
	readonly openedAt: number;
}

export const NO_STATS: Stats = {
	received: 0,
	heartbeats: 0,
	reconnects: 0,
	gaps: 0,
	lastId: "",
	openedAt: 0,
};

/** `chat:general` and `message` of `chat:general/message`; a name has no meaning without its topic. */
export function splitName(event: string): [topic: string, name: string] {
	const slash = event.startsWith("chat:") ? event.lastIndexOf("/") : event.indexOf("/");
	return slash < 0 ? [event, ""] : [event.slice(0, slash), event.slice(slash + 1)];
}

export function itemOf(event: StreamEvent, topic: string, name: string, seq: number): Item {
	return { seq, at: Date.now(), id: event.id, topic, name, data: event.data };
}

export function rowOf(frame: Frame, seq: number): Row {
	const row = { seq, at: Date.now(), id: "", name: "", text: "" };
	switch (frame.kind) {
		case "comment":
			return { ...row, kind: "heartbeat", text: frame.text.trim(), raw: `:${frame.text}\n\n` };
		case "retry":
			return { ...row, kind: "retry", text: `${frame.ms} ms`, raw: `retry: ${frame.ms}\n\n` };
		case "position":
			return { ...row, kind: "position", id: frame.lastEventId, raw: `id: ${frame.lastEventId}\n\n` };
		case "event": {
			const kind = frame.event === "sse.gap" ? "gap" : frame.event === "sse.expired" ? "expired" : "event";
			return { ...row, kind, id: frame.id, name: frame.event, text: frame.data, raw: rawOf(frame) };
		}
	}
}

function rawOf(frame: { id: string; event: string; data: string }): string {
	const id = frame.id ? `id: ${frame.id}\n` : "";
	const event = frame.event === "message" ? "" : `event: ${frame.event}\n`;
	const data = frame.data
		.split("\n")
		.map((line) => `data: ${line}\n`)
		.join("");
	return `${id}${event}${data}\n`;
}
