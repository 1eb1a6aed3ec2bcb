// Everything live of one session: one connection, its events sorted into the lists that pages show, its figures.
// Knows topics and what is kept of each; knows nothing of React, and leaves resuming and waiting to the client.

import type { Frame, Gap, StreamEvent, StreamStatus } from "sse-push-client";
import { base, send } from "../api/request.ts";
import type { Session } from "../session/session.ts";
import { Cell, Feed } from "./feed.ts";
import {
	type ChatMessage,
	type EntityUpdate,
	type Item,
	itemOf,
	NO_STATS,
	type Notification,
	type Row,
	rowOf,
	type Stats,
	type SystemStatus,
	splitName,
} from "./items.ts";
import { FriendsOnline } from "./presence.ts";
import { pathOf, Source } from "./source.ts";

const KEPT = 1000; // of each list: what somebody may scroll through
const KEPT_ROWS = 2000;
const KEPT_SAMPLES = 360; // half an hour at a sample each 5 s
const MAX_ROOMS = 20;
const ROOMS_KEY = "sse-push.rooms";

export interface GapNote extends Gap {
	readonly at: number;
}

const IDLE: StreamStatus = { state: "connecting", failures: 0, retryAt: null, error: null };

export class Live {
	readonly status = new Cell<StreamStatus>(IDLE);
	readonly stats = new Cell<Stats>(NO_STATS);
	/** The newest gap that nobody has waved away yet. */
	readonly gap = new Cell<GapNote | undefined>(undefined);
	readonly rooms = new Cell<readonly string[]>([]);
	readonly rows = new Feed<Row>(KEPT_ROWS);
	readonly app = new Feed<Item>(KEPT);
	readonly notifications = new Feed<Item<Notification>>(KEPT);
	/** The messages of all rooms, for their count. */
	readonly chats = new Feed<string>(1);
	readonly realtime = new Feed<Item<EntityUpdate>>(KEPT);
	readonly system = new Feed<Item<SystemStatus>>(KEPT_SAMPLES);
	readonly friends = new FriendsOnline();
	readonly #chatOf = new Map<string, Feed<Item<ChatMessage>>>();
	readonly #session: Session;
	readonly #source: Source;
	#wasOpen = false;
	#withPresence = false;
	#healing = false;

	constructor(session: Session) {
		this.#session = session;
		this.rooms.set(rememberedRooms());
		this.#source = new Source(base, session.token, this.#topics(), {
			onEvent: (event) => this.#onEvent(event),
			onGap: (gap) => this.#onGap(gap),
			onExpired: () => {},
			onStatus: (status) => this.#onStatus(status),
			onFrame: (frame) => this.#onFrame(frame),
		});
	}

	chat(room: string): Feed<Item<ChatMessage>> {
		let feed = this.#chatOf.get(room);
		if (feed === undefined) {
			feed = new Feed(KEPT);
			this.#chatOf.set(room, feed);
		}
		return feed;
	}

	/** Why *room* can't be entered, or nothing when it was. */
	async join(room: string): Promise<string | undefined> {
		if (this.rooms.now.includes(room)) return undefined;
		if (this.rooms.now.length >= MAX_ROOMS) return `You are in ${MAX_ROOMS} rooms already; leave one first.`;
		const refused = await this.#refusalOf(`/chat/stream?room=${encodeURIComponent(room)}`);
		if (refused !== undefined) return refused;
		this.#setRooms([...this.rooms.now, room]);
		return undefined;
	}

	leave(room: string): void {
		this.#chatOf.delete(room);
		this.#setRooms(this.rooms.now.filter((one) => one !== room));
	}

	/** Take friends' presence too: for users with an account. */
	watchFriends(): void {
		if (this.#withPresence) return;
		this.#withPresence = true;
		this.#source.setTopics(this.#topics());
	}

	/** What the connection asks for, as a path. */
	path(): string {
		return pathOf(this.#topics());
	}

	reconnect(): void {
		this.#source.reconnect();
	}

	close(): void {
		this.#source.close();
	}

	#topics(): string[] {
		const chats = this.rooms.now.map((room) => `chat:${room}`);
		return [
			"app",
			"notifications",
			"realtime",
			"system",
			...(this.#withPresence ? ["presence"] : []),
			...chats,
		];
	}

	#setRooms(rooms: readonly string[]): void {
		this.rooms.set(rooms);
		localStorage.setItem(ROOMS_KEY, JSON.stringify(rooms));
		this.#source.setTopics(this.#topics());
	}

	#onEvent(event: StreamEvent): void {
		const [topic, name] = splitName(event.event);
		this.stats.update((stats) => ({
			...stats,
			received: stats.received + 1,
			lastId: event.id || stats.lastId,
		}));
		if (topic === "presence") this.friends.take(name, event.data);
		else this.#feedOf(topic)?.push((seq) => itemOf(event, topic, name, seq));
	}

	#feedOf(topic: string): Feed<Item> | undefined {
		if (topic.startsWith("chat:")) {
			this.chats.push(() => topic);
			return this.chat(topic.slice(5)) as Feed<Item>;
		}
		const feeds: Record<string, unknown> = {
			app: this.app,
			notifications: this.notifications,
			realtime: this.realtime,
			system: this.system,
		};
		return feeds[topic] as Feed<Item> | undefined;
	}

	#onGap(gap: Gap): void {
		this.gap.set({ ...gap, at: Date.now() });
		this.stats.update((stats) => ({ ...stats, gaps: stats.gaps + 1 }));
	}

	#onFrame(frame: Frame): void {
		this.rows.push((seq) => rowOf(frame, seq));
		if (frame.kind === "comment")
			this.stats.update((stats) => ({ ...stats, heartbeats: stats.heartbeats + 1 }));
		if (frame.kind === "position") this.stats.update((stats) => ({ ...stats, lastId: frame.lastEventId }));
	}

	#onStatus(status: StreamStatus): void {
		const before = this.status.now;
		this.status.set(status);
		if (status.state === before.state && status.error === before.error) return;
		const said = status.error?.message ?? "";
		this.rows.push((seq) => ({
			seq,
			at: Date.now(),
			kind: "state",
			id: "",
			name: status.state,
			text: said,
			raw: said,
		}));
		if (status.state === "open") this.#onOpen();
		if (status.state === "closed" && status.error !== null) void this.#heal(status.error.status);
	}

	#onOpen(): void {
		const again = this.#wasOpen;
		this.#wasOpen = true;
		this.stats.update((stats) => ({
			...stats,
			openedAt: Date.now(),
			reconnects: stats.reconnects + (again ? 1 : 0),
		}));
	}

	/** The whole connection was refused for one of its topics: find out which, and go on without. */
	async #heal(status: number): Promise<void> {
		if (this.#healing || ![400, 403, 404].includes(status)) return;
		this.#healing = true;
		const open: string[] = [];
		for (const room of this.rooms.now)
			if ((await this.#refusalOf(`/chat/stream?room=${encodeURIComponent(room)}`)) === undefined)
				open.push(room);
		const lost = open.length < this.rooms.now.length;
		if (lost) this.#setRooms(open);
		else if (this.#withPresence) {
			this.#withPresence = false;
			this.#source.setTopics(this.#topics());
		}
		this.#healing = false;
	}

	/** Open the stream for a moment: what the service has against it, or nothing. */
	async #refusalOf(path: string): Promise<string | undefined> {
		const stop = new AbortController();
		const answer = await send({ method: "GET", path, streams: true }, this.#session.token, stop);
		return answer.ok ? undefined : answer.problem.detail || answer.problem.title;
	}
}

function rememberedRooms(): readonly string[] {
	try {
		const rooms: unknown = JSON.parse(localStorage.getItem(ROOMS_KEY) ?? "");
		if (Array.isArray(rooms) && rooms.every((room) => typeof room === "string"))
			return rooms.slice(0, MAX_ROOMS);
	} catch {
		// never set, or not by us
	}
	return ["general"];
}
