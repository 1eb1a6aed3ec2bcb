/**
 * One tab's part in a group of tabs: they hear each other by BroadcastChannel, and one of them leads, by a Web Lock that
 * the browser gives to the next when its holder closes, crashes or lets go.
 *
 * Knows nothing of streams. Why not a SharedWorker: docs/design/0010-one-connection-per-browser.md.
 */

export interface TabHandlers<Message> {
	onMessage(message: Message, from: string): void;
	onLead(): void;
	/** Another tab took the lead away. */
	onRobbed(): void;
}

/** What a hub asks of the tab it is in. */
export type AnyTab<Message> = Pick<Tab<Message>, "id" | "post" | "stand" | "resign" | "others" | "leave">;

/** A tab that can find no others: it leads. */
export class LoneTab implements AnyTab<unknown> {
	readonly id = "";
	readonly #handlers: TabHandlers<never>;

	constructor(_name: string, handlers: TabHandlers<never>) {
		this.#handlers = handlers;
	}

	post(): void {}
	resign(): void {}
	leave(): void {}

	stand(): void {
		queueMicrotask(() => this.#handlers.onLead());
	}

	async others(): Promise<Set<string>> {
		return new Set();
	}
}

export class Tab<Message> {
	readonly id: string = crypto.randomUUID();
	readonly #name: string;
	readonly #handlers: TabHandlers<Message>;
	readonly #channel: BroadcastChannel;
	readonly #left = new AbortController();
	#letGo: (() => void) | null = null;

	/** @param name The group's; it must not tell who the user is. */
	constructor(name: string, handlers: TabHandlers<Message>) {
		this.#name = `sse-push ${name}`;
		this.#handlers = handlers;
		this.#channel = new BroadcastChannel(this.#name);
		this.#channel.onmessage = ({ data }: MessageEvent<{ from: string; message: Message }>) => {
			if (!this.#left.signal.aborted) handlers.onMessage(data.message, data.from);
		};
		this.#hold(`${this.#name} tab ${this.id}`, {}, () => {});
	}

	post(message: Message): void {
		if (!this.#left.signal.aborted) this.#channel.postMessage({ from: this.id, message });
	}

	/** Queue up for the lead; *rob* takes it from one that does not answer. */
	stand(rob = false): void {
		let isMine = false;
		const lead = (letGo: () => void) => {
			isMine = true;
			this.#letGo = letGo;
			this.#handlers.onLead();
		};
		this.#hold(`${this.#name} leader`, rob ? { steal: true } : {}, lead, () => {
			if (!isMine || this.#letGo === null) return;
			this.#letGo = null;
			if (!this.#left.signal.aborted) this.#handlers.onRobbed();
		});
	}

	/** Let the next one lead. */
	resign(): void {
		const letGo = this.#letGo;
		this.#letGo = null;
		letGo?.();
	}

	/** The ids of the others that live. */
	async others(): Promise<Set<string>> {
		const prefix = `${this.#name} tab `;
		const { held = [] } = await navigator.locks.query();
		const ids = held.flatMap(({ name }) => (name?.startsWith(prefix) ? name.slice(prefix.length) : []));
		return new Set(ids.filter((id) => id !== this.id));
	}

	leave(): void {
		this.#left.abort();
		this.resign();
		this.#channel.close();
	}

	/** Hold a lock from when it is given until we leave, or *onHeld*'s argument is called. */
	#hold(name: string, how: LockOptions, onHeld: (letGo: () => void) => void, onLost = () => {}): void {
		const { signal } = this.#left;
		// The standard has a lock either stolen or given up waiting for.
		const options = how.steal ? how : { ...how, signal };
		const held = (): Promise<void> | undefined => {
			if (signal.aborted) return;
			return new Promise<void>((letGo) => {
				signal.addEventListener("abort", () => letGo());
				onHeld(letGo);
			});
		};
		navigator.locks.request(name, options, held).catch(onLost);
	}
}
