/**
 * A room with AI members, as a view wants it: what was said, what was earned, and a way to say something.
 *
 * Joins two sources: the room's stream, which has what all say, and one's own turns, which have exp and errors too.
 * Knows no framework.
 */

import { StreamError } from "./errors.ts";
import type { StreamEvent } from "./options.ts";
import { LINGER_MS } from "./shared.ts";
import { trim } from "./store.ts";
import { type AccessOptions, type Connectedness, type Listening, StreamStore } from "./stream_store.ts";
import { type TurnFrame, takeTurn } from "./turn.ts";
import { Twins } from "./twins.ts";
import type { ChatMessage } from "./wire.ts";

export interface GroupChatOptions extends AccessOptions {
	readonly roomId: string;
	/** One's own user id. */
	readonly sender: string;
	/** What one's own messages are called; others see the name in the token. */
	readonly userName: string;
	/** Where the service is, `https://push.example.com`. Default: where the page is from. */
	readonly baseUrl?: string | undefined;
	/** How many messages are held, the newest. Default 200. */
	readonly limit?: number | undefined;
}

export interface GroupMessage {
	/** Unlike every other message's: a key for lists. */
	readonly key: number;
	readonly kind: "user" | "ai";
	/** Who says it: a user id, or `ai:` and the id of a member. */
	readonly userId: string;
	readonly name: string;
	readonly content: string;
	readonly timestamp: string;
}

/** What the user has earned with an AI member. */
export interface Experience {
	readonly personaId: number;
	readonly personaName: string;
	readonly exp: number;
	readonly level: number;
	/** What the last answer brought. */
	readonly increase: number;
}

export interface GroupChatSnapshot extends Connectedness {
	readonly messages: readonly GroupMessage[];
	/** By persona id; known after the first answer. */
	readonly exp: Readonly<Record<string, Experience>>;
	/** Whether answers are still due. */
	readonly busy: boolean;
	/** What the service says went wrong in the last turn: an AI member failed, or did not answer in time. */
	readonly notice: string | null;
	/** Why the last message was not taken; it may be sent again. */
	readonly sendError: StreamError | null;
}

const LIMIT = 200;
const AI = "ai:";

export class GroupChat extends StreamStore<GroupChatOptions, GroupChatSnapshot> {
	#messages: GroupMessage[] = [];
	#said = 0;
	#exp: Readonly<Record<string, Experience>> = {};
	#notice: string | null = null;
	#sendError: StreamError | null = null;
	#turns = 0;
	#abort = new AbortController();
	#leaving: ReturnType<typeof setTimeout> | undefined;
	readonly #twins = new Twins();

	constructor(options: GroupChatOptions) {
		super(options, { messages: [], exp: {}, busy: false, notice: null, sendError: null });
	}

	/** Say *message*; whether it was taken is known when this resolves, and all have answered or failed. */
	readonly send = async (message: string): Promise<boolean> => {
		const { roomId, sender, userName, token, baseUrl = "" } = this.options;
		this.#notice = this.#sendError = null;
		this.#turns += 1;
		this.changed();
		try {
			await takeTurn({
				...{ message, sender, userName, token, signal: this.#abort.signal, getToken: this.getToken },
				url: `${baseUrl}/api/chat/rooms/${encodeURIComponent(roomId)}/group-sse`,
				onFrame: (frame) => this.#onFrame(frame),
			});
			return true;
		} catch (error) {
			this.#sendError = error instanceof StreamError ? error : failedToken(error);
			return false;
		} finally {
			this.#turns -= 1;
			this.changed();
		}
	};

	protected override listening(): Listening {
		const topic = `chat:${this.options.roomId}`;
		return {
			url: `${this.options.baseUrl ?? ""}/v1/stream?topics=${encodeURIComponent(topic)}`,
			eventNames: [topic],
			onEvent: (event) => this.#onRoom(event),
		};
	}

	protected override open(): void {
		clearTimeout(this.#leaving);
		super.open();
	}

	protected override close(): void {
		this.#leaving = setTimeout(() => {
			this.#abort.abort();
			this.#abort = new AbortController();
		}, LINGER_MS);
		super.close();
	}

	protected override make(): GroupChatSnapshot {
		return {
			...this.status,
			messages: [...this.#messages],
			exp: this.#exp,
			busy: this.#turns > 0,
			notice: this.#notice,
			sendError: this.#sendError,
		};
	}

	#onRoom({ event, data }: StreamEvent): void {
		if (event !== `chat:${this.options.roomId}` || !isChatMessage(data)) return;
		const { userId, username, message, timestamp } = data;
		// Oneself is called what one asked to be called, whichever source comes first.
		const name = userId === this.options.sender ? this.options.userName : username;
		if (this.#twins.isNew("room", userId, message)) this.#say(userId, name, message, timestamp);
	}

	#onFrame(frame: TurnFrame): void {
		if (frame.type === "user_message") {
			const { senderId, sender, content, timestamp } = frame;
			if (this.#twins.isNew("turn", senderId, content)) this.#say(senderId, sender, content, timestamp);
		} else if (frame.type === "ai_response") {
			const { aiId, aiName, content, timestamp } = frame;
			const userId = AI + aiId;
			if (this.#twins.isNew("turn", userId, content)) this.#say(userId, aiName, content, timestamp);
		} else if (frame.type === "exp_updated") {
			const { personaId, personaName, newExp: exp, newLevel: level, expIncrease: increase } = frame;
			this.#exp = { ...this.#exp, [personaId]: { personaId, personaName, exp, level, increase } };
		} else if (frame.type !== "complete") this.#notice = frame.message;
		this.changed();
	}

	#say(userId: string, name: string, content: string, timestamp: string): void {
		this.#said += 1;
		const kind = userId.startsWith(AI) ? "ai" : "user";
		this.#messages.push({ key: this.#said, kind, userId, name, content, timestamp });
		trim(this.#messages, this.options.limit ?? LIMIT);
		this.changed();
	}
}

function isChatMessage(data: unknown): data is ChatMessage {
	return typeof data === "object" && data !== null && "message" in data && "userId" in data;
}

function failedToken(cause: unknown): StreamError {
	return new StreamError("network", "getToken failed", { cause });
}
