// What came over the shared connection, frame by frame, and what became of it.

import { useMemo, useState } from "react";
import { curlOf } from "../api/curl.ts";
import { base } from "../api/request.ts";
import type { Kind, Row } from "../live/items.ts";
import { Button, Chips, CopyButton, Field } from "../parts/controls.tsx";
import { count } from "../parts/format.ts";
import { useCell, useDesk, useFeed } from "../parts/hooks.ts";
import { Card, Code, Empty } from "../parts/panels.tsx";
import { FrameCard, FrameList } from "./frame.tsx";

const GROUPS: Record<string, readonly Kind[]> = {
	events: ["event"],
	heartbeats: ["heartbeat"],
	connection: ["state", "gap", "expired"],
};

export function Frames() {
	const { live } = useDesk();
	const newest = useFeed(live.rows);
	const [held, setHeld] = useState<readonly Row[]>();
	const [shown, setShown] = useState<readonly string[]>(["events", "heartbeats", "connection"]);
	const [text, setText] = useState("");
	const [chosen, setChosen] = useState<Row>();
	const all = held ?? newest;
	const clear = () => {
		live.rows.clear();
		setHeld(undefined);
		setChosen(undefined);
	};
	const rows = useMemo(() => {
		const kinds = new Set(shown.flatMap((group) => GROUPS[group] ?? []));
		return all.filter((row) => kinds.has(row.kind) && (!text || row.raw.includes(text)));
	}, [all, shown, text]);
	return (
		<div className="columns wide">
			<div className="stack">
				<div className="filters">
					<Chips label="Show" values={shown} options={Object.keys(GROUPS)} onValues={setShown} />
					<Field label="Holds the text" value={text} onValue={setText} placeholder="any" />
					<div className="actions">
						<Button icon={held ? "play" : "pause"} onClick={() => setHeld(held ? undefined : newest)}>
							{held ? "Go on" : "Hold"}
						</Button>
						<Button icon="trash" onClick={clear}>
							Clear
						</Button>
					</div>
				</div>
				<FrameList
					key={`${shown} ${text}`}
					label="Frames"
					rows={rows}
					chosen={chosen}
					onChoose={setChosen}
					empty={
						<Empty icon="inspect" title="No such frame yet">
							Frames show here as they come; a heartbeat comes every 15 seconds.
						</Empty>
					}
				/>
			</div>
			<div className="stack">
				<FrameCard row={chosen} />
				<ConnectionCard />
			</div>
		</div>
	);
}

function ConnectionCard() {
	const { live } = useDesk();
	const stats = useCell(live.stats);
	const path = live.path();
	const call = {
		method: "GET",
		path,
		streams: true,
		...(stats.lastId ? { headers: { "Last-Event-ID": stats.lastId } } : {}),
	};
	const line = curlOf(call, base);
	return (
		<Card title="The connection" aside={<CopyButton text={line} label="Copy curl" />}>
			<dl className="facts">
				<dt>last id</dt>
				<dd>
					<code>{stats.lastId || "none yet"}</code>
				</dd>
				<dt>events</dt>
				<dd>{count(stats.received)}</dd>
				<dt>heartbeats</dt>
				<dd>{count(stats.heartbeats)}</dd>
				<dt>reconnects</dt>
				<dd>{count(stats.reconnects)}</dd>
				<dt>gaps</dt>
				<dd>{count(stats.gaps)}</dd>
			</dl>
			<Code>{line}</Code>
			<Button icon="again" onClick={() => live.reconnect()}>
				Open anew
			</Button>
		</Card>
	);
}
