import type { Stream } from "./options.ts";
import { type SharedOptions, shareStream } from "./shared.ts";

export interface AnyOptions extends SharedOptions {
	/** The stream must begin after this call: its topics tell how things are when they begin. */
	readonly fresh?: boolean | undefined;
}

export function openAny(options: AnyOptions): Stream {
	return shareStream(options);
}
