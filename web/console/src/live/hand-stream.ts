// A stream beside the shared connection, opened and closed by hand; it ends with the page that opened it.

import { useEffect, useRef, useState } from "react";
import { openStream, type Stream, type StreamOptions, type StreamStatus } from "sse-push-client";
import { base, note } from "../api/request.ts";
import { useDesk } from "../parts/hooks.ts";

const OPENING: StreamStatus = { state: "connecting", failures: 0, retryAt: null, error: null };

export interface HandStream {
	/** Undefined while none is wanted. */
	readonly status: StreamStatus | undefined;
	readonly open: (path: string, more: Pick<StreamOptions, "lastEventId" | "onEvent" | "onFrame">) => void;
	readonly close: () => void;
}

export function useHandStream(): HandStream {
	const { session } = useDesk();
	const [status, setStatus] = useState<StreamStatus>();
	const stream = useRef<Stream>(undefined);
	const open: HandStream["open"] = (path, more) => {
		note({ method: "GET", path, streams: true }, performance.now(), 0, "stream opened");
		setStatus(OPENING);
		stream.current = openStream({ url: base + path, token: session.token, onState: setStatus, ...more });
	};
	const close = () => {
		stream.current?.close();
		setStatus(undefined);
	};
	useEffect(() => () => stream.current?.close(), []);
	return { status, open, close };
}
