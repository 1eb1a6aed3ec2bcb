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
	const { token, getToken, signal } = options;
	const first = token ?? (await getToken?.("first", signal));
	try {
		await attempt(options, first);
	} catch (error) {
		// A turn that was refused has not begun: it may be taken again with a token that is good.
		if (!(error instanceof StreamError) || error.status !== 401 || getToken === undefined) throw error;
		await attempt(options, await getToken("refused", signal));
	}
}

async function attempt(options: TurnOptions, token: string | undefined): Promise<void> {
	const { url, message, sender, userName, signal } = options;
	let isDone = false;
	await connect(
		{ url, token, method: "POST", body: JSON.stringify({ message, sender, userName }) },
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
