/** The core of the client: no framework, no dependency. */

export type { BackoffOptions } from "./backoff.ts";
export { type ErrorCode, StreamError } from "./errors.ts";
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
export { openStream } from "./stream.ts";
export type * from "./wire.ts";
