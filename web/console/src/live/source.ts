// The one connection that everything comes over.
import {
	type Frame,
	type Gap,
	openStream,
	type Stream,
	type StreamEvent,
	type StreamStatus,
} from "sse-push-client";

export interface SourceHandlers {
	onEvent(event: StreamEvent): void;
	onGap(gap: Gap): void;
	onExpired(): void;
	onStatus(status: StreamStatus): void;
	onFrame(frame: Frame): void;
}

export function pathOf(topics: readonly string[]): string {
	return `/v1/stream?topics=${topics.map(encodeURIComponent).join(",")}`;
}

export class Source {
	#stream: Stream | undefined;
	#lastEventId = "";
	readonly #base: string;
	readonly #token: string;
	readonly #handlers: SourceHandlers;

	constructor(base: string, token: string, topics: readonly string[], handlers: SourceHandlers) {
		this.#base = base;
		this.#token = token;
		this.#handlers = handlers;
		this.setTopics(topics);
	}

	setTopics(topics: readonly string[]): void {
		this.#lastEventId = this.#stream?.lastEventId || this.#lastEventId;
		this.#stream?.close();
		const { onEvent, onGap, onExpired, onStatus, onFrame } = this.#handlers;
		this.#stream = openStream({
			url: this.#base + pathOf(topics),
			token: this.#token,
			lastEventId: this.#lastEventId,
			onEvent,
			onGap,
			onExpired,
			onState: onStatus,
			onFrame,
		});
	}

	reconnect(): void {
		this.#stream?.reconnect();
	}

	close(): void {
		this.#stream?.close();
		this.#stream = undefined;
	}
}
