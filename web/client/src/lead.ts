/**
 * What the leading tab does: reads one stream of all topics that any tab wants, and passes on what comes.
 *
 * Knows the wishes of all tabs; how the lead is won and lost, and what its own tab does with events, is hub.ts's business.
 */

import type { Chain, Item } from "./chain.ts";
import { type Message, plain, type View, type Wish } from "./messages.ts";
import type { StreamOptions } from "./options.ts";
import { TopicStream } from "./topics.ts";
import type { Gap } from "./wire.ts";

/** The URL of `/v1/stream` without topics, and as whom. */
export type Access = Omit<StreamOptions, `on${string}` | "lastEventId">;

/** The tab that leads. */
export interface Host {
	readonly chain: Chain;
	/** What each tab wants, this one included, by their ids. */
	wishes(): Iterable<readonly [string, Wish]>;
	post(message: Message): void;
	onView(view: View): void;
	onItem(item: Item): void;
	onGap(gap: Gap): void;
	onExpired(): void;
	onBeat(): void;
	/** It can't be read, and waiting does not help. */
	onFailed(): void;
}

export class Lead {
	readonly #host: Host;
	readonly #stream: TopicStream;
	readonly #served = new Map<string, number>();
	#view: View | null = null;
	#outbox: { from: string; items: Item[] } | null = null;

	constructor(host: Host, access: Access) {
		this.#host = host;
		const tell = (message: Message) => {
			this.flush(); // in the order in which it came
			host.post(message);
		};
		this.#stream = new TopicStream({
			access,
			lastEventId: host.chain.position ?? "",
			onTopicEvent: (event, topic) => this.#onItem({ ...event, topic }),
			onPosition: (id) => {
				this.#outbox ??= this.#newOutbox();
				host.chain.moveTo(id);
			},
			onGap: (gap) => {
				tell({ kind: "gap", gap });
				host.onGap(gap);
			},
			onExpired: () => {
				tell({ kind: "expired" });
				host.onExpired();
			},
			onBeat: () => {
				tell({ kind: "beat" });
				host.onBeat();
			},
			onChange: () => this.#onChange(),
		});
		this.ask();
	}

	/** Have the stream take what anyone wants now. */
	ask(): void {
		const wishes = [...this.#host.wishes()];
		this.#stream.want(new Set(wishes.flatMap(([, { topics }]) => topics)));
		let mustRefresh = false;
		for (const [id, { fresh, topics }] of wishes) {
			const isNew = fresh > (this.#served.get(id) ?? 0);
			// One that is yet to come will be fresh anyway.
			mustRefresh ||= isNew && topics.some((topic) => this.#stream.active.has(topic));
			this.#served.set(id, fresh);
		}
		if (mustRefresh) this.#stream.refresh();
	}

	/** Tell all tabs how the stream is. */
	tell(): void {
		this.flush();
		if (this.#view !== null) {
			this.#host.post({ kind: "view", view: this.#view, position: this.#stream.lastEventId });
		}
	}

	/** Give the tab *to*, which stands at *position*, what it misses. */
	catchUp(to: string, position: string): void {
		this.flush();
		this.#host.post({ kind: "missed", to, batch: this.#host.chain.after(position) });
	}

	reconnect(): void {
		this.#stream.reconnect();
	}

	wake(): void {
		this.#stream.wake();
	}

	close(): void {
		this.flush();
		this.#stream.close();
	}

	/** Pass on what has come. */
	flush(): void {
		if (this.#outbox === null) return;
		const { from, items } = this.#outbox;
		this.#outbox = null;
		this.#host.post({ kind: "batch", batch: { from, items, to: this.#host.chain.position ?? "" } });
	}

	/** What one read of the network brings is one message to the other tabs. */
	#newOutbox(): { from: string; items: Item[] } {
		queueMicrotask(() => this.flush());
		return { from: this.#host.chain.position ?? "", items: [] };
	}

	#onItem(item: Item): void {
		this.#outbox ??= this.#newOutbox();
		this.#outbox.items.push(item);
		this.#host.chain.append(item);
		this.#host.onItem(item);
	}

	#onChange(): void {
		const { status, active, refused } = this.#stream;
		this.#view = {
			status: { ...status, error: plain(status.error) },
			active: [...active],
			refused: [...refused].map(([topic, error]) => [topic, plain(error)]),
		};
		this.#host.onView(this.#view);
		if (status.state === "closed") this.#host.onFailed();
		else this.tell();
	}
}
