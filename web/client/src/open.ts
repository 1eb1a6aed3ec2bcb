/**
 * How a stream is opened for views: `/v1/stream` through a hub, all topics over one connection, which all tabs share where
 * the browser lets them; everything else by a connection of its own.
 */

import { hasFetchStreams } from "./connection.ts";
import { guarded } from "./events.ts";
import type { Hub } from "./hub.ts";
import type { Listener } from "./listeners.ts";
import type { GetToken, Stream, StreamStatus } from "./options.ts";
import { type SharedOptions, shareStream } from "./shared.ts";
import { openStream } from "./stream.ts";
import { canShareBetweenTabs } from "./surroundings.ts";
import { splitTopics } from "./topic_query.ts";

/** Open a stream, or take part in one that is open: in this page, and for `/v1/stream` in any tab. */
export function openAny(options: SharedOptions): Stream {
	return shareStream(options, canBeInHub(options) ? (its) => new HubStream(its) : openStream);
}

/** Who is known by a cookie alone may be another tomorrow, and no tab would notice. */
function canBeInHub(options: SharedOptions): boolean {
	const { url, token, getToken, user, headers, fetch, lastEventId, reconnect } = options;
	const isKnown = token !== undefined || getToken !== undefined || user !== undefined;
	const isPlain = !headers && !fetch && !lastEventId && reconnect !== false;
	return isKnown && isPlain && typeof window !== "undefined" && hasFetchStreams() && partsOf(url) !== null;
}

/** The URL of a `/v1/stream` without its topics, and those; null for any other. */
function partsOf(url: string | URL): { base: string; topics: Set<string> } | null {
	const parts = splitTopics(new URL(url, location.href).href);
	return parts && { base: parts.base, topics: new Set(parts.topics) };
}

const hubs = new Map<string, Hub>();

async function hubFor(options: SharedOptions, base: string): Promise<Hub> {
	// A page that has no such stream does not load what it takes.
	const { Hub, nameOf } = await import("./between_tabs.ts");
	const isAlone = !(await canShareBetweenTabs());
	const { getToken, user, credentials, heartbeatMs, minMs } = options;
	// Without a name for the user only the token says who it is.
	const token =
		options.token ??
		(user === undefined ? await getToken?.("first", new AbortController().signal) : undefined);
	const name = await nameOf(base, token, user);
	const known = hubs.get(name);
	if (known !== undefined) return known;
	const how = getToken ? { getToken: holding(token, getToken) } : { token };
	const hub = new Hub(name, { url: base, credentials, heartbeatMs, minMs, ...how }, isAlone);
	hubs.set(name, hub);
	return hub;
}

/** The hub opens streams one after another: a token that is still good is not asked for again. */
function holding(token: string | undefined, getToken: GetToken): GetToken {
	let held = token;
	return async (reason, signal) => {
		if (reason !== "first" || held === undefined) held = await getToken(reason, signal);
		return held;
	};
}

class HubStream implements Stream {
	status: StreamStatus = { state: "connecting", failures: 0, retryAt: null, error: null };
	readonly #options: SharedOptions;
	readonly #listener: Listener;
	#hub: Hub | null = null;
	#own: Stream | null = null;

	constructor(options: SharedOptions) {
		const { onEvent, onGap, onExpired, onPosition, onFrame, fresh = false, url } = options;
		const { topics, base } = partsOf(url) as { base: string; topics: Set<string> };
		this.#options = options;
		this.#listener = {
			...{ topics, fresh, onEvent, onGap, onExpired, onPosition, onFrame },
			onState: (status) => this.#tell(status),
		} as Listener;
		hubFor(options, base).then(
			(hub) => {
				if (this.status.state === "closed") return;
				this.#hub = hub;
				hub.add(this.#listener);
			},
			// There is no token now; a stream of one's own tries on.
			() => {
				if (this.status.state === "closed") return;
				this.#own = openStream({ ...options, onState: (status) => this.#tell(status) });
			},
		);
	}

	get lastEventId(): string {
		return this.#own?.lastEventId ?? this.#hub?.position ?? "";
	}

	reconnect(): void {
		(this.#own ?? this.#hub)?.reconnect();
	}

	wake(): void {
		(this.#own ?? this.#hub)?.wake();
	}

	close(): void {
		if (this.status.state === "closed" && this.status.error === null) return;
		const hub = this.#hub;
		hub?.remove(this.#listener);
		if (hub?.isIdle) hubs.delete(hub.name);
		this.#own?.close();
		this.#tell({ state: "closed", failures: 0, retryAt: null, error: null });
	}

	#tell(status: StreamStatus): void {
		this.status = status;
		guarded(() => this.#options.onState?.(status));
	}
}
