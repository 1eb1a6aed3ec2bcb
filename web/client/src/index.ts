/** The core of the client: no framework, no dependency. */

export type { BackoffOptions } from "./backoff.ts";
export { type ErrorCode, parseRetryAfter, StreamError } from "./errors.ts";
export {
	Feed,
	type FeedCallbacks,
	type FeedOptions,
	type FeedSnapshot,
} from "./feed.ts";
export {
	type Experience,
	GroupChat,
	type GroupChatOptions,
	type GroupChatSnapshot,
	type GroupMessage,
} from "./group_chat.ts";
export { openAny } from "./open.ts";
export type {
	Frame,
	GetToken,
	Stream,
	StreamEvent,
	StreamOptions,
	StreamStatus,
	TokenReason,
} from "./options.ts";
export { createParser, type Parser, type ParserHandlers, type RawEvent } from "./parser.ts";
export { Presence, type PresenceOptions, type PresenceSnapshot } from "./presence.ts";
export { type SharedOptions, shareStream } from "./shared.ts";
export { Store } from "./store.ts";
export { openStream } from "./stream.ts";
export type { AccessOptions, Connectedness } from "./stream_store.ts";
export { type TurnFrame, type TurnOptions, takeTurn } from "./turn.ts";
export type * from "./wire.ts";
