/**
 * One group-chat turn: a message goes out, the answers come back as a stream that ends with `[DONE]`.
 *
 * Knows the call and its frames; what they mean for a view is group_chat.ts's business.
 */

import { connect } from "./connection.ts";
import { StreamError } from "./errors.ts";
import { guarded } from "./events.ts";
import type { GetToken } from "./options.ts";
import type { StreamData } from "./wire.ts";

const RETRIES = 2; // of a turn whose message may have been kept or not
const RETRY_MS = 5_000; // milliseconds before one, where the service names no time

/** The frames of a turn: see `type`. */
export type TurnFrame = StreamData["/api/chat/rooms/{roomId}/group-sse"];

export interface TurnOptions {
	readonly url: string;
	readonly message: string;
	/** The caller's user id. */
	readonly sender: string;
	readonly userName: string;
	readonly token?: string | undefined;
	readonly getToken?: GetToken | undefined;
	readonly signal: AbortSignal;
	onFrame(frame: TurnFrame): void;
}

/**
 * Take a turn; resolves after `[DONE]`, or when *signal* aborts.
 *
 * @throws {StreamError} It was refused, or broke off: the answers go to the room all the same.
 */
export async function takeTurn(options: TurnOptions): Promise<void> {
	const { getToken, signal } = options;
	const key = newKey();
	let token = options.token ?? (await getToken?.("first", signal));
	let retries = RETRIES;
	let unknown: StreamError | undefined; // the room may have the message, whatever a later try says
	for (let renewed = false; ; ) {
		try {
			return await attempt(options, token, key);
		} catch (error) {
			if (!(error instanceof StreamError)) throw error;
			// A turn that was refused has not begun: it may be taken again with a token that is good.
			if (error.status === 401 && getToken !== undefined && !renewed) {
				renewed = true;
				token = await getToken("refused", signal);
				continue;
			}
			if (error.status !== 503) throw error;
			if (error.problem?.outcome === "unknown") unknown ??= error;
			if (unknown === undefined || retries === 0) throw unknown ?? error;
			retries -= 1; // by its key the room gets it once
			await pause(error.retryAfterMs ?? RETRY_MS, signal);
			if (signal.aborted) return;
		}
	}
}

/** An idempotency key. `crypto.randomUUID` is not there on pages without TLS. */
function newKey(): string {
	const words = crypto.getRandomValues(new Uint32Array(4));
	return Array.from(words, (word) => word.toString(16).padStart(8, "0")).join("");
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const timer = setTimeout(resolve, ms);
		const stop = () => {
			clearTimeout(timer);
			resolve();
		};
		signal.addEventListener("abort", stop, { once: true });
	});
}

async function attempt(options: TurnOptions, token: string | undefined, key: string): Promise<void> {
	const { url, message, sender, userName, signal } = options;
	const headers = { "Idempotency-Key": key };
	let isDone = false;
	await connect(
		{ url, token, headers, method: "POST", body: JSON.stringify({ message, sender, userName }) },
		{
			onOpen: () => {},
			onEvent: ({ data }) => {
				if (data === "[DONE]") isDone = true;
				else if (!signal.aborted) guarded(() => options.onFrame(JSON.parse(data) as TurnFrame));
			},
		},
		signal,
	);
	if (!isDone && !signal.aborted) throw new StreamError("network", "the answers broke off");
}
