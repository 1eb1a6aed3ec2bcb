// A stream of one's own beside the shared connection: any path, from any id on, and every frame of it as it comes.

import { useState } from "react";
import { Feed } from "../live/feed.ts";
import { useHandStream } from "../live/hand-stream.ts";
import { type Row, rowOf } from "../live/items.ts";
import { Button, Field } from "../parts/controls.tsx";
import { sentence } from "../parts/format.ts";
import { useFeed } from "../parts/hooks.ts";
import { Empty, Notice } from "../parts/panels.tsx";
import { Curl } from "../parts/sender.tsx";
import { FrameCard, FrameList } from "./frame.tsx";

const KEPT = 1000;

export function OwnStream() {
	const [path, setPath] = useState("/custom/stream");
	const [lastId, setLastId] = useState("");
	const [chosen, setChosen] = useState<Row>();
	const [feed] = useState(() => new Feed<Row>(KEPT));
	const rows = useFeed(feed);
	const { status, open, close } = useHandStream();
	const on = status !== undefined;
	const from = lastId.trim();
	const begin = () => {
		feed.clear();
		setChosen(undefined);
		open(path, { lastEventId: from, onFrame: (frame) => feed.push((seq) => rowOf(frame, seq)) });
	};
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
					<Field label="Path" value={path} onValue={setPath} disabled={on} />
					<Field
						label="Last-Event-ID"
						value={lastId}
						onValue={setLastId}
						disabled={on}
						placeholder="from now on"
					/>
					{on ? (
						<Button onClick={close}>Close it</Button>
					) : (
						<Button look="primary" disabled={!path.startsWith("/")} onClick={begin}>
							Open it
						</Button>
					)}
				</div>
				{status?.error && (
					<Notice tone={status.state === "closed" ? "bad" : "warn"}>
						<b>The stream is not open</b>
						<p>{sentence(status.error.problem?.detail ?? status.error.message)}</p>
					</Notice>
				)}
				<FrameList
					label="Frames of the stream"
					rows={rows}
					chosen={chosen}
					onChoose={setChosen}
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
