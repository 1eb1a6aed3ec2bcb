// Everything live of one session: its events sorted into the lists that pages show, its figures. All comes over the one
// connection that the client shares between all tabs; resuming and waiting are the client's business too.
// Knows topics and what is kept of each; knows nothing of React.

import {
	type ChatMessage,
	type EntityUpdate,
	type Frame,
	type Gap,
	type Notification,
	openAny,
	Presence,
	type Stream,
	type StreamEvent,
	type StreamStatus,
	type SystemStatus,
} from "sse-push-client";
import { base, send } from "../api/request.ts";
import { mayHaveAccount } from "../session/identity.ts";
import { ofTab } from "../session/kept.ts";
import type { Session } from "../session/session.ts";
import { Cell, Feed } from "./feed.ts";
import { type Item, itemOf, type Kind, NO_STATS, type Row, rowOf, type Stats, splitName } from "./items.ts";

const KEPT = 1000; // of each list: what somebody may scroll through
const KEPT_ROWS = 2000;
const KEPT_SAMPLES = 360; // half an hour at a sample each 5 s
const MAX_ROOMS = 20;
const ROOMS_KEY = "sse-push.rooms";

/** Who signs in next is not to see where somebody else was. */
export function forgetRooms(): void {
	ofTab.delete(ROOMS_KEY);
}

export interface RefusedRoom {
	readonly room: string;
	readonly why: string;
}

export interface GapNote extends Gap {
	readonly at: number;
}

const IDLE: StreamStatus = { state: "connecting", failures: 0, retryAt: null, error: null };
const TOPICS = ["app", "notifications", "realtime", "system"];

export class Live {
	readonly status = new Cell<StreamStatus>(IDLE);
	readonly stats = new Cell<Stats>(NO_STATS);
	/** The newest gap that nobody has waved away yet. */
	readonly gap = new Cell<GapNote | undefined>(undefined);
	readonly rooms = new Cell<readonly string[]>([]);
	/** The last room that could not be entered, and why. */
	readonly refused = new Cell<RefusedRoom | undefined>(undefined);
	readonly rows = new Feed<Row>(KEPT_ROWS);
	readonly notifications = new Feed<Item<Notification>>(KEPT);
	/** The messages of all rooms, for their count. */
	readonly chats = new Feed<string>(1);
	readonly realtime = new Feed<Item<EntityUpdate>>(KEPT);
	readonly system = new Feed<Item<SystemStatus>>(KEPT_SAMPLES);
	readonly friends: Presence;
	readonly #session: Session;
	readonly #main: Stream;
	readonly #roomStreams = new Map<string, Stream>();
	readonly #chatOf = new Map<string, Feed<Item<ChatMessage>>>();
	#wasOpen = false;
	#isClosed = false;
	#unseen = (): void => {};

	constructor(session: Session) {
		this.#session = session;
		this.friends = new Presence({ baseUrl: base, token: session.token });
		this.#main = openAny({
			url: base + pathOf(TOPICS),
			token: session.token,
			onEvent: (event) => this.#onEvent(event),
			onGap: (gap) => this.#onGap(gap),
			onExpired: () => this.#note("expired", "", "the token has expired"),
			onState: (status) => this.#onStatus(status),
			onFrame: (frame) => this.#onFrame(frame),
		});
		for (const room of rememberedRooms()) this.join(room);
		void this.#beSeen();
	}

	/** Who has an account is seen as online by friends while the console is open. */
	async #beSeen(): Promise<void> {
		if (!mayHaveAccount(this.#session.who)) return;
		const answer = await send({ method: "GET", path: "/api/friends" }, this.#session.token);
		if (answer.ok && !this.#isClosed) this.#unseen = this.friends.watch(() => {});
	}

	chat(room: string): Feed<Item<ChatMessage>> {
		let feed = this.#chatOf.get(room);
		if (feed === undefined) {
			feed = new Feed(KEPT);
			this.#chatOf.set(room, feed);
		}
		return feed;
	}

	/** Enter *room*. Where the service refuses that, the room goes again and `refused` says why. */
	join(room: string): void {
		this.refused.set(undefined);
		if (this.#roomStreams.has(room)) return;
		if (this.#roomStreams.size >= MAX_ROOMS) {
			this.refused.set({ room, why: `you are in ${MAX_ROOMS} rooms already; leave one first` });
			return;
		}
		const stream = openAny({
			url: base + pathOf([`chat:${room}`]),
			token: this.#session.token,
			onEvent: (event) => this.#onEvent(event),
			onFrame: (frame) => frame.kind === "event" && this.#onFrame(frame),
			onState: ({ state, error }) => {
				if (state !== "closed" || ![400, 403].includes(error?.status ?? 0)) return;
				this.leave(room);
				this.refused.set({ room, why: error?.problem?.detail ?? error?.message ?? "" });
			},
		});
		this.#roomStreams.set(room, stream);
		this.#roomsChanged();
	}

	leave(room: string): void {
		this.#roomStreams.get(room)?.close();
		this.#roomStreams.delete(room);
		this.#chatOf.delete(room);
		this.#roomsChanged();
	}

	/** What the connection asks for, as a path. */
	path(): string {
		return pathOf([...TOPICS, ...this.rooms.now.map((room) => `chat:${room}`)]);
	}

	reconnect(): void {
		this.#main.reconnect();
	}

	close(): void {
		this.#isClosed = true;
		this.#unseen();
		this.#main.close();
		for (const stream of this.#roomStreams.values()) stream.close();
	}

	#roomsChanged(): void {
		const rooms = [...this.#roomStreams.keys()];
		this.rooms.set(rooms);
		ofTab.set(ROOMS_KEY, JSON.stringify(rooms));
	}

	#onEvent(event: StreamEvent): void {
		const [topic, name] = splitName(event.event);
		this.stats.update((stats) => ({
			...stats,
			received: stats.received + 1,
			lastId: event.id || stats.lastId,
		}));
		this.#feedOf(topic)?.push((seq) => itemOf(event, topic, name, seq));
	}

	#feedOf(topic: string): Feed<Item> | undefined {
		if (topic.startsWith("chat:")) {
			this.chats.push(() => topic);
			return this.chat(topic.slice(5)) as Feed<Item>;
		}
		const feeds: Record<string, unknown> = {
			notifications: this.notifications,
			realtime: this.realtime,
			system: this.system,
		};
		return feeds[topic] as Feed<Item> | undefined;
	}

	#onGap(gap: Gap): void {
		this.gap.set({ ...gap, at: Date.now() });
		this.stats.update((stats) => ({ ...stats, gaps: stats.gaps + 1 }));
		this.#note("gap", "sse.gap", JSON.stringify(gap));
	}

	#onFrame(frame: Frame): void {
		if (frame.kind === "event" && frame.event.startsWith("sse.")) return; // told by their own callbacks
		this.rows.push((seq) => rowOf(frame, seq));
		if (frame.kind === "comment")
			this.stats.update((stats) => ({ ...stats, heartbeats: stats.heartbeats + 1 }));
	}

	#onStatus(status: StreamStatus): void {
		const before = this.status.now;
		this.status.set(status);
		if (status.state === before.state && status.error?.message === before.error?.message) return;
		this.#note("state", status.state, status.error?.message ?? "");
		if (status.state === "open") this.#onOpen();
	}

	#onOpen(): void {
		const again = this.#wasOpen;
		this.#wasOpen = true;
		this.stats.update((stats) => ({
			...stats,
			openedAt: Date.now(),
			reconnects: stats.reconnects + (again ? 1 : 0),
			lastId: this.#main.lastEventId || stats.lastId,
		}));
	}

	#note(kind: Kind, name: string, text: string): void {
		const raw = kind === "gap" ? `event: sse.gap\ndata: ${text}\n\n` : text;
		this.rows.push((seq) => ({ seq, at: Date.now(), kind, id: "", name, text, raw }));
	}
}

function pathOf(topics: readonly string[]): string {
	return `/v1/stream?topics=${topics.map(encodeURIComponent).join(",")}`;
}

function rememberedRooms(): readonly string[] {
	try {
		const rooms: unknown = JSON.parse(ofTab.get(ROOMS_KEY) ?? "");
		if (Array.isArray(rooms) && rooms.every((room) => typeof room === "string"))
			return rooms.slice(0, MAX_ROOMS);
	} catch {
		// never set, or not by us
	}
	return ["general"];
}
