// Turns of the group chat: the request, the frames of its answer, and what they make of the conversation.

import { useEffect, useRef, useState } from "react";
import {
	type ExpUpdated,
	type RoomMember,
	type StreamError,
	type TurnFrame,
	takeTurn,
} from "sse-push-client";
import type { Call } from "../api/curl.ts";
import { base, note, type Problem, problemOf, send } from "../api/request.ts";
import { Cell, Feed } from "../live/feed.ts";
import { sentence } from "../parts/format.ts";
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

export type Exp = Omit<ExpUpdated, "type" | "userId">;

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

const TYPED_MS = 400; // a room's name is being typed until nothing was for so long

/** Learns of the members of *room*, and what has been earned with them so far; returns what to say where there are none. */
export function useMembers(room: string): string {
	const { session } = useDesk();
	const [none, setNone] = useState("");
	useEffect(() => {
		let isOld = false;
		setNone(room && "Looking who is there…");
		const look = async () => {
			const path = `/api/chat/rooms/${encodeURIComponent(room)}/members`;
			const answer = await send<readonly RoomMember[]>({ method: "GET", path }, session.token);
			if (isOld) return;
			const members = answer.ok ? answer.body.map(earned) : [];
			setNone(answer.ok ? "This room has no AI members." : sentence(answer.problem.detail));
			// A turn may have been quicker than this answer, and exp never falls.
			exps.update((known) => members.map((one) => known.find((its) => isLater(its, one)) ?? one));
		};
		const timer = setTimeout(() => room && void look(), TYPED_MS);
		return () => {
			isOld = true;
			clearTimeout(timer);
		};
	}, [room, session]);
	return none;
}

function isLater(one: Exp, other: Exp): boolean {
	return one.personaId === other.personaId && one.newExp > other.newExp;
}

function earned({ personaId, aiName, exp, level }: RoomMember): Exp {
	return { personaId, personaName: aiName, newExp: exp, newLevel: level, expIncrease: 0 };
}

/** One turn, from the request to `[DONE]`; why it was refused, where it was. */
async function turn(call: Call, token: string, signal: AbortSignal): Promise<Refused | undefined> {
	const started = performance.now();
	const body = call.body as { message: string; sender: string; userName: string };
	try {
		await takeTurn({ ...body, url: base + call.path, token, signal, onFrame: take });
		note(call, started, 200, undefined);
		return undefined;
	} catch (error) {
		const { status, message, problem, retryAfterMs } = error as StreamError;
		note(call, started, status, message);
		if (status > 0) return { status, problem: problemOf(status, problem, retryAfterMs) };
		const text = "The answer broke off. What is still said reaches the room.";
		say("note", { who: "broken off", text, tone: "warn" });
		return undefined;
	}
}

function take(frame: TurnFrame): void {
	switch (frame.type) {
		case "user_message":
			say("user", {
				at: frame.timestamp,
				who: frame.sender,
				whoId: String(frame.senderId),
				text: frame.content,
			});
			break;
		case "ai_response":
			say("ai", { at: frame.timestamp, who: frame.aiName, whoId: frame.aiId, text: frame.content });
			break;
		case "exp_updated":
			gain(frame);
			break;
		default:
			say("note", { at: frame.timestamp, who: frame.type, text: frame.message, tone: TONES[frame.type] });
	}
}

const TONES = { complete: "ok", timeout: "warn", error: "bad" } as const;

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
