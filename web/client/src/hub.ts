import type { Stream } from "./options.ts";
import { type SharedOptions, shareStream } from "./shared.ts";

export function openAny(options: SharedOptions): Stream {
	return shareStream(options);
}
