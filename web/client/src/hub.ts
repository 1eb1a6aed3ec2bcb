/**
 * One connection per browser: the tabs of a user share a stream of `/v1/stream`, which the leading tab reads and passes on.
 *
 * Knows what a tab does when it leads and when it follows. Reading for all is lead.ts's business, the election tab.ts's, the
 * order of events chain.ts's, who listens listeners.ts's. The protocol: docs/design/0010-one-connection-per-browser.md.
 */

import { type Batch, Chain } from "./chain.ts";
import { isAfter } from "./ids.ts";
import { type Access, type Host, Lead } from "./lead.ts";
import { type Listener, Listeners } from "./listeners.ts";
import { CONNECTING, type Message, type View, type Wish } from "./messages.ts";
import { isHidden, watchPageLife, watchSurroundings } from "./surroundings.ts";
import { type AnyTab, LoneTab, Tab } from "./tab.ts";
import type { Gap } from "./wire.ts";

/** Milliseconds for the other tabs to say where they stand, when a new leader does not know. */
const ANSWER_MS = 150;
/** Milliseconds between two looks: whether tabs have gone, whether the leader still speaks. */
const LOOK_MS = 20_000;
/** A leader that says nothing for so many milliseconds, four heartbeats, hangs: another takes over. */
const SILENT_MS = 60_000;
/** Milliseconds that a leader may be late with its next attempt. */
const REMIND_MS = 1000;

export class Hub {
	readonly name: string;
	readonly #access: Access;
	readonly #isAlone: boolean;
	readonly #listeners = new Listeners();
	readonly #chain = new Chain();
	readonly #others = new Map<string, Wish>();
	#tab: AnyTab<Message> | null = null;
	#lead: Lead | null = null;
	#isFailed = false;
	#isBehind = false;
	#heardAt = 0;
	#looking: ReturnType<typeof setInterval> | undefined;
	#reminding: ReturnType<typeof setTimeout> | undefined;
	#unwatch: () => void = () => {};

	/**
	 * @param name Of the group of tabs: see identity.ts.
	 * @param isAlone Whether tabs can't find each other here: then it serves this one.
	 */
	constructor(name: string, access: Access, isAlone = false) {
		this.name = name;
		this.#isAlone = isAlone;
		this.#access = access;
	}

	/** Where the shared stream stands. */
	get position(): string {
		return this.#chain.position ?? "";
	}

	/** Whether nobody in this page listens. */
	get isIdle(): boolean {
		return this.#listeners.size === 0;
	}

	add(listener: Listener): void {
		this.#listeners.add(listener);
		if (this.#listeners.size === 1) this.#start();
		else this.#wish();
	}

	remove(listener: Listener): void {
		if (!this.#listeners.remove(listener)) return;
		if (this.#listeners.size > 0) this.#wish();
		else this.#end();
	}

	reconnect(): void {
		if (this.#lead !== null) this.#lead.reconnect();
		else if (this.#isFailed) this.#standAgain();
		else this.#tab?.post({ kind: "reconnect" });
	}

	wake(): void {
		if (this.#lead !== null) this.#lead.wake();
		else this.#tab?.post({ kind: "wake" });
	}

	// -- coming and going ----------------------------------------------------------------------------

	#start(): void {
		// A page that is put away reads nothing more; it lets go, and another tab leads at once.
		const unwatchLife = watchPageLife(
			() => this.#leave(),
			() => this.#join(),
		);
		const unwatch = watchSurroundings(
			() => this.wake(),
			() => {},
		);
		this.#unwatch = () => {
			unwatchLife();
			unwatch();
		};
		this.#join();
	}

	#end(): void {
		this.#unwatch();
		this.#leave();
		this.#chain.position = null; // who comes next begins then
	}

	#join(): void {
		if (this.#tab !== null) return; // a page that is back may be told of twice
		this.#tab = new (this.#isAlone ? LoneTab : Tab<Message>)(this.name, {
			onMessage: (message, from) => this.#onMessage(message, from),
			onLead: () => void this.#onLead(),
			onRobbed: () => this.#onRobbed(),
		});
		this.#heardAt = performance.now();
		this.#looking = setInterval(() => void this.#look(), LOOK_MS);
		this.#isFailed = this.#isBehind = false;
		this.#wish();
		this.#tab.stand();
	}

	#leave(): void {
		clearInterval(this.#looking);
		clearTimeout(this.#reminding);
		this.#stopLeading();
		this.#tab?.post({ kind: "wish", wish: { topics: [], fresh: 0, position: null } });
		this.#tab?.leave();
		this.#tab = null;
		this.#others.clear();
		this.#listeners.show(CONNECTING);
	}

	/** Every so often: have tabs gone without a word, does the leader still speak? */
	async #look(): Promise<void> {
		const tab = this.#tab;
		if (tab === null) return;
		if (this.#lead !== null) {
			await this.#forgetTheGone(tab);
			this.#lead?.ask();
		} else if (!this.#isFailed && !isHidden() && this.#listeners.view.status.state !== "waiting") {
			if (performance.now() - this.#heardAt > SILENT_MS) tab.stand(true);
		}
	}

	async #forgetTheGone(tab: AnyTab<Message>): Promise<ReadonlySet<string>> {
		const living = await tab.others();
		for (const id of [...this.#others.keys()]) if (!living.has(id)) this.#others.delete(id);
		return living;
	}

	// -- leading -------------------------------------------------------------------------------------

	async #onLead(): Promise<void> {
		const tab = this.#tab;
		if (tab === null) return;
		const living = await this.#forgetTheGone(tab);
		if (living.size > 0) {
			tab.post({ kind: "who" });
			if (this.#chain.position === null) await this.#hear(living);
		}
		if (this.#tab !== tab || this.#lead !== null) return;
		this.#isBehind = false;
		this.#lead = new Lead(this.#host(tab), this.#access);
	}

	/** Wait for the others to say where they stand, and stand where the last of them does. */
	async #hear(living: ReadonlySet<string>): Promise<void> {
		const until = performance.now() + ANSWER_MS;
		while (performance.now() < until && [...living].some((id) => !this.#others.has(id))) {
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		const positions = [...this.#others.values()].flatMap(({ position }) => position || []);
		if (this.#chain.position !== null || positions.length === 0) return;
		this.#chain.moveTo(positions.reduce((last, one) => (isAfter(last, one) ? one : last)));
	}

	#host(tab: AnyTab<Message>): Host {
		return {
			chain: this.#chain,
			wishes: () => [[tab.id, this.#ownWish()], ...this.#others],
			post: (message) => tab.post(message),
			onView: (view) => this.#listeners.show(view),
			onItem: (item) => this.#listeners.deliver(item),
			onGap: (gap) => this.#listeners.tellGap(gap),
			onExpired: () => this.#listeners.tellExpired(),
			onBeat: () => this.#listeners.tellBeat(),
			onFailed: () => {
				// Another tab may have a better token; and if none has, each tells its own listeners why.
				this.#isFailed = true;
				this.#stopLeading();
				tab.resign();
			},
		};
	}

	#stopLeading(): void {
		this.#lead?.close();
		this.#lead = null;
	}

	#onRobbed(): void {
		this.#stopLeading();
		this.#heardAt = performance.now();
		this.#wish();
		this.#tab?.stand();
	}

	#standAgain(): void {
		this.#isFailed = false;
		this.#listeners.show(CONNECTING);
		this.#tab?.stand();
	}

	// -- following -----------------------------------------------------------------------------------

	#ownWish(): Wish {
		const { topics, fresh } = this.#listeners;
		return { topics, fresh, position: this.#chain.position };
	}

	/** Tell what this tab wants. */
	#wish(): void {
		if (this.#lead !== null) this.#lead.ask();
		else this.#tab?.post({ kind: "wish", wish: this.#ownWish() });
	}

	#onMessage(message: Message, from: string): void {
		if (message.kind === "wish") this.#onWish(message.wish, from);
		else if (this.#lead === null) this.#onNews(message);
		else if (message.kind === "behind") this.#lead.catchUp(from, message.position);
		else if (message.kind === "reconnect") this.#lead.reconnect();
		else if (message.kind === "wake") this.#lead.wake();
	}

	#onWish(wish: Wish, from: string): void {
		if (wish.topics.length === 0) this.#others.delete(from);
		else this.#others.set(from, wish);
		this.#lead?.ask();
		this.#lead?.tell();
	}

	/** What the leader tells the others. */
	#onNews(message: Message): void {
		if (message.kind === "who") this.#wish();
		else if (message.kind === "view") this.#onView(message.view, message.position);
		else if (message.kind === "batch") this.#onBatch(message.batch);
		else if (message.kind === "missed") this.#onMissed(message.to, message.batch);
		else if (message.kind === "gap") this.#listeners.tellGap(message.gap);
		else if (message.kind === "expired") this.#listeners.tellExpired();
		else if (message.kind === "beat") this.#listeners.tellBeat();
		else return;
		this.#heardAt = performance.now();
	}

	#onView(view: View, position: string): void {
		if (this.#isFailed) {
			this.#isFailed = false;
			this.#tab?.stand();
		}
		if (this.#chain.position === null && position !== "") this.#chain.moveTo(position);
		else if (position !== "" && !this.#chain.knows(position)) this.#askForMissed();
		this.#listeners.show(view);
		this.#remindLater();
	}

	#onBatch(batch: Batch): void {
		const items = this.#isBehind ? null : this.#chain.take(batch);
		for (const item of items ?? batch.items.filter(({ id }) => id === "")) this.#listeners.deliver(item);
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
			const gap: Gap = { reason: "expired", requested: this.position, resumed_from: null };
			this.#chain.position = null; // the next that comes is where we stand
			this.#listeners.tellGap(gap);
		} else for (const item of this.#chain.take(batch) ?? []) this.#listeners.deliver(item);
	}

	/** A visible tab reminds the leader, whose timers the browser holds back when it is hidden. */
	#remindLater(): void {
		clearTimeout(this.#reminding);
		const { retryAt } = this.#listeners.view.status;
		if (retryAt === null || isHidden()) return;
		this.#reminding = setTimeout(() => this.wake(), Math.max(0, retryAt - Date.now()) + REMIND_MS);
	}
}
