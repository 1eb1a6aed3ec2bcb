/**
 * One connection per browser: the tabs of a user share a stream of `/v1/stream`, which the leading tab reads and passes on.
 *
 * Knows who wants which topics and who has seen what. The stream is topics.ts's business, the lead that of tab.ts, the
 * order of events that of chain.ts. The protocol is told in docs/design/0007-one-connection-per-browser.md.
 */

import { type Batch, Chain, type Item } from "./chain.ts";
import { type ErrorCode, type ErrorFacts, StreamError } from "./errors.ts";
import { guarded, toEvent } from "./events.ts";
import { isAfter } from "./ids.ts";
import type { StreamOptions, StreamStatus } from "./options.ts";
import { isHidden, watchSurroundings } from "./surroundings.ts";
import { Tab } from "./tab.ts";
import { TopicStream } from "./topics.ts";
import type { Gap } from "./wire.ts";

/** What one user of the hub wants, and is called with. */
export interface HubUser extends Pick<StreamOptions, `on${string}` & keyof StreamOptions> {
	readonly topics: ReadonlySet<string>;
	/** The stream must begin after this call: its topics tell how things are when they begin. */
	readonly fresh: boolean;
}

/** How the shared stream is, as the leader tells it. */
interface View {
	readonly status: Omit<StreamStatus, "error"> & { readonly error: PlainError | null };
	readonly active: readonly string[];
	readonly refused: readonly (readonly [string, PlainError])[];
}

interface PlainError extends Omit<ErrorFacts, "cause"> {
	readonly code: ErrorCode;
	readonly message: string;
}

interface Wish {
	readonly topics: readonly string[];
	/** Rises with each user that must have a fresh stream. */
	readonly fresh: number;
	readonly position: string | null;
}

type Message =
	| { kind: "wish"; wish: Wish }
	| { kind: "who" }
	| { kind: "view"; view: View; position: string }
	| { kind: "batch"; batch: Batch }
	| { kind: "behind"; position: string }
	| { kind: "missed"; to: string; batch: Batch | null }
	| { kind: "gap"; gap: Gap }
	| { kind: "expired" | "beat" | "wake" | "reconnect" };

/** Milliseconds for the other tabs to say where they stand, when a new leader does not know. */
const ANSWER_MS = 150;
/** Milliseconds between two looks: whether tabs have gone, whether the leader still speaks. */
const LOOK_MS = 20_000;
/** A leader that says nothing for so many milliseconds, four heartbeats, hangs: another takes over. */
const SILENT_MS = 60_000;
/** Milliseconds after which a visible tab reminds a hidden leader, whose timers the browser holds back. */
const REMIND_MS = 1000;

const CONNECTING: View = {
	status: { state: "connecting", failures: 0, retryAt: null, error: null },
	active: [],
	refused: [],
};

export class Hub {
	readonly #name: string;
	readonly #access: Omit<StreamOptions, `on${string}` | "lastEventId">;
	readonly #users = new Map<HubUser, StreamStatus | null>();
	readonly #chain = new Chain();
	readonly #wishes = new Map<string, Wish>();
	readonly #served = new Map<string, number>();
	#fresh = 0;
	#view = CONNECTING;
	#tab: Tab<Message> | null = null;
	#stream: TopicStream | null = null;
	#isFailed = false;
	#isBehind = false;
	#outbox: { from: string; items: Item[] } | null = null;
	#heardAt = 0;
	#looking: ReturnType<typeof setInterval> | undefined;
	#reminding: ReturnType<typeof setTimeout> | undefined;
	#unwatch: () => void = () => {};
	readonly #onPageHide = () => this.#leave();
	readonly #onPageShow = ({ persisted }: PageTransitionEvent) =>
		persisted && this.#users.size > 0 && this.#join();

	/**
	 * @param name Of the group of tabs: see identity.ts.
	 * @param access The URL without topics, and as whom.
	 */
	constructor(name: string, access: Omit<StreamOptions, `on${string}` | "lastEventId">) {
		this.#name = name;
		this.#access = access;
	}

	/** What *user* would resume from. */
	get position(): string {
		return this.#chain.position ?? "";
	}

	add(user: HubUser): void {
		this.#users.set(user, null);
		if (user.fresh) this.#fresh += 1;
		if (this.#users.size === 1) this.#start();
		else this.#wish();
		this.#tellUsers();
	}

	remove(user: HubUser): void {
		if (!this.#users.delete(user)) return;
		if (this.#users.size > 0) this.#wish();
		else this.#end();
	}

	statusFor({ topics }: HubUser): StreamStatus {
		const { status, active, refused } = this.#view;
		const refusal = refused.find(([topic]) => topics.has(topic));
		if (refusal !== undefined) {
			return { state: "closed", failures: 0, retryAt: null, error: revived(refusal[1]) };
		}
		const isComing = status.state === "open" && [...topics].some((topic) => !active.includes(topic));
		return { ...status, state: isComing ? "connecting" : status.state, error: revived(status.error) };
	}

	reconnect(): void {
		if (this.#stream !== null) this.#stream.reconnect();
		else if (this.#isFailed) this.#standAgain();
		else this.#tab?.post({ kind: "reconnect" });
	}

	wake(): void {
		if (this.#stream !== null) this.#stream.wake();
		else this.#tab?.post({ kind: "wake" });
	}

	// -- coming and going ---------------------------------------------------------------------------------------------

	#start(): void {
		window.addEventListener("pagehide", this.#onPageHide);
		window.addEventListener("pageshow", this.#onPageShow);
		this.#unwatch = watchSurroundings(
			() => this.wake(),
			() => {},
		);
		this.#join();
	}

	#end(): void {
		window.removeEventListener("pagehide", this.#onPageHide);
		window.removeEventListener("pageshow", this.#onPageShow);
		this.#unwatch();
		this.#leave();
		this.#chain.position = null; // who comes next begins then
	}

	#join(): void {
		this.#tab = new Tab<Message>(this.#name, {
			onMessage: (message, from) => this.#onMessage(message, from),
			onLead: () => void this.#lead(),
			onRobbed: () => this.#onRobbed(),
		});
		this.#heardAt = Date.now();
		this.#looking = setInterval(() => void this.#look(), LOOK_MS);
		this.#isFailed = this.#isBehind = false;
		this.#wish();
		this.#tab.stand();
	}

	#leave(): void {
		clearInterval(this.#looking);
		clearTimeout(this.#reminding);
		this.#flush();
		this.#tab?.post({ kind: "wish", wish: { topics: [], fresh: 0, position: null } });
		this.#stopReading();
		this.#wishes.clear();
		this.#tab?.leave();
		this.#tab = null;
		this.#view = CONNECTING;
	}

	// -- leading ------------------------------------------------------------------------------------------------------

	async #lead(): Promise<void> {
		const tab = this.#tab;
		if (tab === null) return;
		const others = await tab.others();
		for (const id of this.#wishes.keys()) if (!others.has(id)) this.#wishes.delete(id);
		if (others.size > 0) {
			tab.post({ kind: "who" });
			if (this.#chain.position === null) await this.#hear(others);
		}
		if (this.#tab === tab && this.#stream === null) this.#read();
	}

	/** Wait for the others to say where they stand, and stand where the last of them does. */
	async #hear(others: ReadonlySet<string>): Promise<void> {
		const until = Date.now() + ANSWER_MS;
		while (Date.now() < until && [...others].some((id) => !this.#wishes.has(id))) {
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		const positions = [...this.#wishes.values()].flatMap(({ position }) => position || []);
		if (this.#chain.position !== null || positions.length === 0) return;
		this.#chain.moveTo(positions.reduce((last, one) => (isAfter(last, one) ? one : last)));
	}

	#read(): void {
		this.#isBehind = false;
		const stream = new TopicStream({
			access: this.#access,
			lastEventId: this.#chain.position ?? "",
			onTopicEvent: (event, topic) => this.#onOwnItem({ ...event, topic }),
			onPosition: (id) => {
				this.#outbox ??= this.#newOutbox();
				this.#chain.moveTo(id);
			},
			onGap: (gap) => {
				this.#flush();
				this.#tab?.post({ kind: "gap", gap });
				this.#onGap(gap);
			},
			onExpired: () => {
				this.#tab?.post({ kind: "expired" });
				this.#forAll((user) => user.onExpired?.());
			},
			onBeat: () => {
				this.#tab?.post({ kind: "beat" });
				this.#forAll((user) => user.onFrame?.({ kind: "comment", text: " hb" }));
			},
			onChange: () => this.#onOwnChange(),
		});
		this.#stream = stream;
		this.#ask();
	}

	/** Have the stream take what anyone wants. */
	#ask(): void {
		const stream = this.#stream;
		if (stream === null) return;
		const wishes = [this.#ownWish(), ...this.#wishes.values()];
		stream.want(new Set(wishes.flatMap(({ topics }) => topics)));
		let mustRefresh = false;
		for (const [id, { fresh, topics }] of [["", this.#ownWish()] as const, ...this.#wishes]) {
			if (fresh > (this.#served.get(id) ?? 0) && topics.some((topic) => stream.active.has(topic)))
				mustRefresh = true;
			this.#served.set(id, fresh);
		}
		if (mustRefresh) stream.refresh();
	}

	#onOwnItem(item: Item): void {
		this.#outbox ??= this.#newOutbox();
		this.#outbox.items.push(item);
		this.#chain.append(item);
		this.#deliver(item);
	}

	/** What one read of the network brings is one message to the other tabs. */
	#newOutbox(): { from: string; items: Item[] } {
		queueMicrotask(() => this.#flush());
		return { from: this.position, items: [] };
	}

	#flush(): void {
		if (this.#outbox === null) return;
		this.#tab?.post({ kind: "batch", batch: { ...this.#outbox, to: this.position } });
		this.#outbox = null;
	}

	#onOwnChange(): void {
		const stream = this.#stream;
		if (stream === null) return;
		this.#setView({
			status: { ...stream.status, error: plain(stream.status.error) },
			active: [...stream.active],
			refused: [...stream.refused].map(([topic, error]) => [topic, plain(error) as PlainError]),
		});
		if (stream.status.state !== "closed") this.#tellView();
		else {
			// Another tab may have a better token; and if none has, each tells its own user why.
			this.#isFailed = true;
			this.#stopReading();
			this.#tab?.resign();
		}
	}

	#tellView(): void {
		this.#flush();
		this.#tab?.post({ kind: "view", view: this.#view, position: this.position });
	}

	#stopReading(): void {
		this.#stream?.close();
		this.#stream = null;
	}

	#onRobbed(): void {
		this.#stopReading();
		this.#tab?.stand();
		this.#wish();
	}

	#standAgain(): void {
		this.#isFailed = false;
		this.#setView(CONNECTING);
		this.#tab?.stand();
	}

	// -- following ----------------------------------------------------------------------------------------------------

	#ownWish(): Wish {
		const topics = new Set([...this.#users.keys()].flatMap((user) => [...user.topics]));
		return { topics: [...topics], fresh: this.#fresh, position: this.#chain.position };
	}

	/** Tell what this tab wants. */
	#wish(): void {
		this.#tab?.post({ kind: "wish", wish: this.#ownWish() });
		this.#ask();
	}

	#onMessage(message: Message, from: string): void {
		if (message.kind === "wish") this.#onWish(message.wish, from);
		else if (message.kind === "who") this.#wish();
		else if (this.#stream !== null) this.#onRequest(message, from);
		else this.#onNews(message);
	}

	#onWish(wish: Wish, from: string): void {
		if (wish.topics.length === 0) this.#wishes.delete(from);
		else this.#wishes.set(from, wish);
		if (this.#stream === null) return;
		this.#ask();
		this.#tellView();
	}

	/** What others ask of the leader. */
	#onRequest(message: Message, from: string): void {
		if (message.kind === "reconnect") this.#stream?.reconnect();
		else if (message.kind === "wake") this.#stream?.wake();
		else if (message.kind === "behind") {
			this.#flush();
			this.#tab?.post({ kind: "missed", to: from, batch: this.#chain.after(message.position) });
		}
	}

	/** What the leader tells the others. */
	#onNews(message: Message): void {
		this.#heardAt = Date.now();
		if (message.kind === "view") this.#onView(message.view, message.position);
		else if (message.kind === "batch") this.#onBatch(message.batch);
		else if (message.kind === "missed") this.#onMissed(message.to, message.batch);
		else if (message.kind === "gap") this.#onGap(message.gap);
		else if (message.kind === "expired") this.#forAll((user) => user.onExpired?.());
		else if (message.kind === "beat")
			this.#forAll((user) => user.onFrame?.({ kind: "comment", text: " hb" }));
	}

	#onView(view: View, position: string): void {
		if (this.#isFailed) {
			this.#isFailed = false;
			this.#tab?.stand();
		}
		if (this.#chain.position === null && position !== "") this.#chain.moveTo(position);
		else if (position !== "" && !this.#chain.knows(position)) this.#askForMissed();
		this.#setView(view);
		this.#remindLater();
	}

	#onBatch(batch: Batch): void {
		const items = this.#isBehind ? null : this.#chain.take(batch);
		for (const item of items ?? batch.items.filter(({ id }) => id === "")) this.#deliver(item);
		if (items === null) this.#askForMissed();
	}

	#askForMissed(): void {
		if (this.#isBehind) return;
		this.#isBehind = true;
		this.#tab?.post({ kind: "behind", position: this.position });
	}

	#onMissed(to: string, batch: Batch | null): void {
		if (to !== this.#tab?.id || !this.#isBehind) return;
		this.#isBehind = false;
		if (batch === null) {
			const requested = this.position;
			this.#chain.position = null; // the next that comes is where we stand
			this.#onGap({ reason: "expired", requested, resumed_from: null });
		} else for (const item of this.#chain.take(batch) ?? []) this.#deliver(item);
	}

	async #look(): Promise<void> {
		const tab = this.#tab;
		if (tab === null) return;
		if (this.#stream === null) {
			const isSilent = Date.now() - this.#heardAt > SILENT_MS && this.#view.status.state !== "waiting";
			if (isSilent && !this.#isFailed && !isHidden()) tab.stand(true);
			return;
		}
		const others = await tab.others();
		const gone = [...this.#wishes.keys()].filter((id) => !others.has(id));
		for (const id of gone) this.#wishes.delete(id);
		if (gone.length > 0) this.#ask();
	}

	#remindLater(): void {
		clearTimeout(this.#reminding);
		const { retryAt } = this.#view.status;
		if (retryAt === null || isHidden()) return;
		this.#reminding = setTimeout(() => this.wake(), Math.max(0, retryAt - Date.now()) + REMIND_MS);
	}

	// -- users --------------------------------------------------------------------------------------------------------

	#setView(view: View): void {
		this.#view = view;
		this.#tellUsers();
	}

	#tellUsers(): void {
		for (const [user, before] of [...this.#users]) {
			const status = this.statusFor(user);
			if (before !== null && JSON.stringify(before) === JSON.stringify(status)) continue;
			this.#users.set(user, status);
			guarded(() => user.onState?.(status));
		}
	}

	#deliver(item: Item): void {
		for (const user of [...this.#users.keys()]) {
			if (!user.topics.has(item.topic)) continue;
			guarded(() => user.onFrame?.({ kind: "event", ...item }));
			guarded(() => user.onEvent?.(toEvent(item)));
		}
	}

	#onGap(gap: Gap): void {
		this.#forAll((user) => user.onGap?.(gap));
	}

	#forAll(call: (user: HubUser) => void): void {
		for (const user of [...this.#users.keys()]) guarded(() => call(user));
	}
}

function plain(error: StreamError | null): PlainError | null {
	if (error === null) return null;
	const { code, message, status, problem, retryAfterMs } = error;
	return { code, message, status, problem, retryAfterMs };
}

function revived(error: PlainError | null): StreamError | null {
	return error === null ? null : new StreamError(error.code, error.message, error);
}
