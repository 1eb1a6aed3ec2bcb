// A stream of one's own beside the shared connection: any path, from any id on, and every frame of it as it comes.

import { useEffect, useRef, useState } from "react";
import { openStream, type Stream, type StreamStatus } from "sse-push-client";
import { base } from "../api/request.ts";
import { Feed } from "../live/feed.ts";
import { type Row, rowOf } from "../live/items.ts";
import { Button, Field } from "../parts/controls.tsx";
import { sentence } from "../parts/format.ts";
import { useDesk, useFeed } from "../parts/hooks.ts";
import { List } from "../parts/list.tsx";
import { Empty, Notice } from "../parts/panels.tsx";
import { Curl } from "../parts/sender.tsx";
import { FrameCard, FrameRow } from "./frame.tsx";

const KEPT = 1000;

export function OwnStream() {
	const [path, setPath] = useState("/custom/stream");
	const [lastId, setLastId] = useState("");
	const [chosen, setChosen] = useState<Row>();
	const own = useOwnStream();
	const rows = useFeed(own.rows);
	const from = lastId.trim();
	const call = {
		method: "GET",
		path,
		streams: true,
		...(from ? { headers: { "Last-Event-ID": from } } : {}),
	};
	return (
		<div className="columns wide">
			<div className="stack">
				<div className="filters">
					<Field label="Path" value={path} onValue={setPath} disabled={own.on} />
					<Field
						label="Last-Event-ID"
						value={lastId}
						onValue={setLastId}
						disabled={own.on}
						placeholder="from now on"
					/>
					{own.on ? (
						<Button onClick={own.close}>Close it</Button>
					) : (
						<Button look="primary" disabled={!path.startsWith("/")} onClick={() => own.open(path, from)}>
							Open it
						</Button>
					)}
				</div>
				{own.status?.error && (
					<Notice tone={own.status.state === "closed" ? "bad" : "warn"}>
						<b>The stream is not open</b>
						<p>{sentence(own.status.error.problem?.detail ?? own.status.error.message)}</p>
					</Notice>
				)}
				<List
					label="Frames of the stream"
					newest="bottom"
					usual={34}
					items={rows}
					keyOf={(row) => row.seq}
					draw={(row) => <FrameRow row={row} chosen={row === chosen} onChoose={() => setChosen(row)} />}
					empty={
						<Empty icon="inspect" title="No stream is open">
							Open one to see all that it sends, retry and positions too. An id of before shows what is
							replayed after it.
						</Empty>
					}
				/>
				<Curl call={call} />
			</div>
			<FrameCard row={chosen} />
		</div>
	);
}

function useOwnStream() {
	const { session } = useDesk();
	const [rows] = useState(() => new Feed<Row>(KEPT));
	const [status, setStatus] = useState<StreamStatus>();
	const [on, setOn] = useState(false);
	const stream = useRef<Stream>(undefined);
	const open = (path: string, lastEventId: string) => {
		rows.clear();
		setOn(true);
		stream.current = openStream({
			url: base + path,
			token: session.token,
			lastEventId,
			onState: setStatus,
			onFrame: (frame) => rows.push((seq) => rowOf(frame, seq)),
		});
	};
	const close = () => {
		stream.current?.close();
		setOn(false);
		setStatus(undefined);
	};
	useEffect(() => () => stream.current?.close(), []);
	return { rows, status, on, open, close };
}
