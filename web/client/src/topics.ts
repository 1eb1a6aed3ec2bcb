/**
 * One stream of `/v1/stream` whose topics may change while it runs, without loss: and one topic that is refused does not
 * take the others with it.
 *
 * Knows topics; who wants which is hub.ts's business.
 */

import type { StreamError } from "./errors.ts";
import { isAfter } from "./ids.ts";
import type { Stream, StreamOptions, StreamStatus } from "./options.ts";
import type { RawEvent } from "./parser.ts";
import { openStream } from "./stream.ts";
import { withTopics } from "./topic_query.ts";
import type { Gap } from "./wire.ts";

export interface TopicStreamOptions {
	/** Where and as whom; callbacks come from here. */
	readonly access: Omit<StreamOptions, `on${string}` | "lastEventId">;
	/** Begin after this id rather than now. */
	readonly lastEventId?: string | undefined;
	/** *event* is of *topic*, and one that was wanted when it was published. */
	onTopicEvent(event: RawEvent, topic: string): void;
	onGap(gap: Gap): void;
	onPosition(lastEventId: string): void;
	onExpired(): void;
	onBeat(): void;
	/** How it is, which topics it gives, and which it was refused. */
	onChange(): void;
}

/** Milliseconds that a topic nobody wants is still taken: who turns a page comes back, and each change is a request. */
const LINGER_MS = 5000;
/** Milliseconds in which wishes are gathered before the stream is changed. */
const GATHER_MS = 20;

export class TopicStream {
	status: StreamStatus = { state: "connecting", failures: 0, retryAt: null, error: null };
	lastEventId: string;
	/** What the open stream gives. */
	active: ReadonlySet<string> = new Set();
	/** What the caller may not have, and why. */
	readonly refused = new Map<string, StreamError>();
	readonly #options: TopicStreamOptions;
	readonly #since = new Map<string, string>();
	#wanted: ReadonlySet<string> = new Set();
	#asked: ReadonlySet<string> = new Set(); // what #stream asks for
	#stream: Stream | null = null;
	#probe: Stream | null = null;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#timerAt = Number.POSITIVE_INFINITY;
	#mustReopen = false;
	#isClosed = false;

	constructor(options: TopicStreamOptions) {
		this.#options = options;
		this.lastEventId = options.lastEventId ?? "";
	}

	/** Take these topics from now on. */
	want(topics: ReadonlySet<string>): void {
		this.#wanted = topics;
		for (const topic of this.refused.keys()) if (!topics.has(topic)) this.refused.delete(topic);
		if (this.#missing().length > 0) this.#adjustIn(GATHER_MS);
		else this.#adjustIn(LINGER_MS);
	}

	/** Open it anew, for topics that tell how things are when they begin. */
	refresh(): void {
		this.#mustReopen = true;
		this.#adjustIn(GATHER_MS);
	}

	reconnect(): void {
		this.refused.clear();
		this.#stream?.reconnect();
		this.#adjustIn(0);
	}

	wake(): void {
		this.#stream?.wake();
	}

	close(): void {
		this.#isClosed = true;
		clearTimeout(this.#timer);
		this.#drop();
		this.#probe?.close();
		this.#probe = null;
	}

	#missing(): string[] {
		return [...this.#wanted].filter((topic) => !this.#asked.has(topic) && !this.refused.has(topic));
	}

	#adjustIn(ms: number): void {
		const at = Date.now() + ms;
		if (at >= this.#timerAt) return;
		clearTimeout(this.#timer);
		this.#timerAt = at;
		this.#timer = setTimeout(() => {
			this.#timerAt = Number.POSITIVE_INFINITY;
			this.#adjust();
		}, ms);
	}

	/** Bring what is asked for in line with what is wanted. */
	#adjust(): void {
		if (this.#isClosed || this.#probe !== null) return; // the probe adjusts when it is done
		const missing = this.#missing();
		const wanted = [...this.#wanted].filter((topic) => !this.refused.has(topic));
		if (wanted.length === 0) this.#stop();
		else if (this.#stream === null) this.#open(wanted);
		// Before the first position there is nothing to lose, and nothing to begin later than.
		else if (missing.length > 0 && this.lastEventId !== "") this.#admit(missing);
		else if (this.#mustReopen || missing.length > 0 || wanted.length < this.#asked.size) this.#open(wanted);
	}

	/**
	 * Learn whether *topics* may be had, and where the service stands: a stream that is resumed gives all its topics from
	 * the id on that it resumes from, which may be hours ago.
	 */
	#admit(topics: string[]): void {
		const done = (mark: string) => {
			this.#probe?.close();
			this.#probe = null;
			for (const topic of topics) if (mark !== "" && !this.refused.has(topic)) this.#since.set(topic, mark);
			this.#open([...this.#wanted].filter((topic) => !this.refused.has(topic)));
		};
		this.#probe = openStream({
			...this.#options.access,
			url: this.#urlFor(topics),
			onState: ({ state, error }) => {
				if (error === null) return;
				// There is no room for one more stream: then rather too early than not at all.
				if (state === "waiting" && error.status === 429) done("");
				if (state !== "closed") return;
				this.#probe = null;
				this.#onRefusal(topics, error);
			},
			// The first frame has both, retry first; the id is there when the frame is read.
			onFrame: ({ kind }) => {
				if (kind === "retry") queueMicrotask(() => this.#probe !== null && done(this.#probe.lastEventId));
			},
		});
	}

	#onRefusal(topics: string[], error: StreamError): void {
		if (topics.length === 1 && isRefusal(error)) {
			this.#refuse(topics[0] as string, error);
			this.#adjustIn(0);
		} else if (isRefusal(error)) this.#sortOut(topics, () => this.#refuse(topics.at(-1) as string, error));
		else this.#tell({ state: "closed", failures: 0, retryAt: null, error });
	}

	#refuse(topic: string, error: StreamError): void {
		this.refused.set(topic, error);
		this.#options.onChange();
	}

	/**
	 * One of *topics* is refused, and the answer does not say which: each is asked for alone, the refused go.
	 *
	 * @param onNone All of them may be had, but not together: they are too many.
	 */
	#sortOut(topics: string[], onNone: () => void): void {
		const [first, ...rest] = topics;
		if (first === undefined) {
			onNone();
			this.#adjustIn(0);
			return;
		}
		const next = () => {
			this.#probe?.close();
			this.#probe = null;
			this.#sortOut(rest, this.refused.has(first) ? () => {} : onNone);
		};
		this.#probe = openStream({
			...this.#options.access,
			url: this.#urlFor([first]),
			onState: ({ state, error }) => {
				if (state === "closed" && error !== null) this.#refuse(first, error);
				if (state === "open" || (state === "closed" && error !== null)) next();
			},
		});
	}

	#open(topics: string[]): void {
		this.#drop();
		this.#mustReopen = false;
		this.#asked = new Set(topics);
		const wasOpen = this.status.state === "open";
		const asked = this.#asked;
		const stream = openStream({
			...this.#options.access,
			url: this.#urlFor(topics),
			lastEventId: this.lastEventId,
			onGap: (gap) => this.#options.onGap(gap),
			onExpired: () => this.#options.onExpired(),
			onPosition: (id) => {
				this.lastEventId = id;
				this.#options.onPosition(id);
			},
			onFrame: (frame) => {
				if (frame.kind === "event") this.#onEvent(frame);
				else if (frame.kind === "comment") this.#options.onBeat();
			},
			onState: (status) => {
				if (this.#stream !== stream) return;
				if (status.state === "open") this.active = asked;
				if (status.state === "closed") this.#onClosed(topics, status);
				else if (!(wasOpen && status.state === "connecting" && status.error === null)) this.#tell(status);
			},
		});
		this.#stream = stream;
	}

	#onClosed(topics: string[], status: StreamStatus): void {
		this.#stream = null;
		this.#asked = this.active = new Set();
		if (status.error !== null && isRefusal(status.error)) this.#onRefusal(topics, status.error);
		else this.#tell(status);
	}

	/** Close the stream; what it says of that is not told. */
	#drop(): void {
		const stream = this.#stream;
		this.#stream = null;
		stream?.close();
	}

	#stop(): void {
		this.#drop();
		if (this.#wanted.size === 0) this.lastEventId = ""; // who wants something next begins then
		this.#asked = this.active = new Set();
		this.#options.onChange();
	}

	#tell(status: StreamStatus): void {
		this.status = status;
		this.#options.onChange();
	}

	#onEvent(event: RawEvent): void {
		if (event.event.startsWith("sse.")) return;
		const topic = topicOf(event.event, this.#asked);
		if (topic === undefined) return;
		const since = this.#since.get(topic);
		if (since !== undefined && event.id !== "") {
			if (isAfter(event.id, since) === false) return;
			this.#since.delete(topic);
		}
		this.#options.onTopicEvent(event, topic);
	}

	#urlFor(topics: string[]): string {
		return withTopics(String(this.#options.access.url), topics);
	}
}

/** No such topic, not for this caller, or (presence) a caller whom the service does not know. */
function isRefusal({ status }: StreamError): boolean {
	return status === 400 || status === 403 || status === 404;
}

/** The one of *topics* that an event's name is of: the name is the topic, or `topic/name`. */
export function topicOf(event: string, topics: ReadonlySet<string>): string | undefined {
	let best: string | undefined;
	for (const topic of topics) {
		const fits = event === topic || event.startsWith(`${topic}/`);
		if (fits && (best === undefined || topic.length > best.length)) best = topic;
	}
	return best;
}
