// Turns of the group chat: the request, the frames of its answer, and what they make of the conversation.

import { useEffect, useRef, useState } from "react";
import { createParser } from "sse-push-client";
import type { Call } from "../api/curl.ts";
import { base, headersFor, note, type Problem, problemOf } from "../api/request.ts";
import { Cell, Feed } from "../live/feed.ts";
import { useCell, useDesk, useFeed } from "../parts/hooks.ts";
import type { Tone } from "../parts/panels.tsx";

const KEPT = 500;

export interface Line {
	readonly seq: number;
	readonly at: string | number;
	readonly kind: "user" | "ai" | "note";
	readonly who: string;
	readonly whoId: string;
	readonly text: string;
	readonly tone: Tone;
}

export interface Exp {
	readonly personaId: number;
	readonly personaName: string;
	readonly newExp: number;
	readonly newLevel: number;
	readonly expIncrease: number;
}

/** A frame of the answer, by its `type` (contract section 8). */
interface TurnFrame {
	readonly type: string;
	readonly content?: string;
	readonly message?: string;
	readonly sender?: string;
	readonly senderId?: string;
	readonly aiName?: string;
	readonly aiId?: string;
	readonly timestamp?: string;
}

export interface Refused {
	readonly status: number;
	readonly problem: Problem;
}

// They outlive the page: whoever looks into another tab finds the conversation again.
const lines = new Feed<Line>(KEPT);
const exps = new Cell<readonly Exp[]>([]);

export function forgetTurns(): void {
	lines.clear();
	exps.set([]);
}

export function useTurns() {
	const { session } = useDesk();
	const [busy, setBusy] = useState(false);
	const [refused, setRefused] = useState<Refused>();
	const stopping = useRef<AbortController>(undefined);
	useEffect(() => () => stopping.current?.abort(), []);
	const callOf = (room: string, message: string): Call => ({
		method: "POST",
		path: `/api/chat/rooms/${encodeURIComponent(room)}/group-sse`,
		body: { message, sender: session.who.id, userName: session.who.name },
		streams: true,
	});
	const ask = async (room: string, message: string) => {
		stopping.current = new AbortController();
		setBusy(true);
		setRefused(await turn(callOf(room, message), session.token, stopping.current.signal));
		setBusy(false);
	};
	const stop = () => stopping.current?.abort();
	return { lines: useFeed(lines), exps: useCell(exps), busy, refused, ask, stop, callOf };
}

/** One turn, from the request to `[DONE]`; why it was refused, where it was. */
async function turn(call: Call, token: string, signal: AbortSignal): Promise<Refused | undefined> {
	const started = performance.now();
	try {
		const init = {
			method: call.method,
			headers: headersFor(call, token),
			body: JSON.stringify(call.body),
			signal,
		};
		const response = await fetch(base + call.path, init);
		if (!response.ok || response.body === null) {
			const problem = problemOf(response, await response.json().catch(() => undefined));
			note(call, started, response.status, problem.detail);
			return { status: response.status, problem };
		}
		note(call, started, response.status, undefined);
		const parser = createParser({ onEvent: ({ data }) => data !== "[DONE]" && take(JSON.parse(data)) });
		const reader = response.body.getReader();
		for (let part = await reader.read(); !part.done; part = await reader.read()) parser.push(part.value);
		return undefined;
	} catch {
		if (!signal.aborted)
			say("note", {
				who: "broken off",
				text: "The answer broke off. What is still said reaches the room.",
				tone: "warn",
			});
		return undefined;
	}
}

function take(frame: TurnFrame): void {
	const { content = "", message = "", timestamp: at } = frame;
	switch (frame.type) {
		case "user_message":
			say("user", { at, who: frame.sender ?? "", whoId: String(frame.senderId ?? ""), text: content });
			break;
		case "ai_response":
			say("ai", { at, who: frame.aiName ?? "", whoId: String(frame.aiId ?? ""), text: content });
			break;
		case "exp_updated":
			gain(frame as unknown as Exp);
			break;
		case "complete":
			say("note", { at, who: "complete", text: message, tone: "ok" });
			break;
		default: // timeout, error
			say("note", { at, who: frame.type, text: message, tone: frame.type === "timeout" ? "warn" : "bad" });
	}
}

type Said = { at?: string | undefined; who: string; whoId?: string; text: string; tone?: Tone };

function say(kind: Line["kind"], { at, who, whoId = "", text, tone = "idle" }: Said): void {
	lines.push((seq) => ({ seq, at: at ?? Date.now(), kind, who, whoId, text, tone }));
}

function gain(exp: Exp): void {
	exps.update((before) => {
		const others = before.filter(({ personaId }) => personaId !== exp.personaId);
		return [...others, exp].sort((one, other) => one.personaId - other.personaId);
	});
}
