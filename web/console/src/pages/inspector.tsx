// What came over the wire, frame by frame, what became of the connection, and every request of this tab as curl.

import { useMemo, useState } from "react";
import { curlOf } from "../api/curl.ts";
import { base, type Logged, requests } from "../api/request.ts";
import type { Kind, Row } from "../live/items.ts";
import { Button, Chips, Choice, CopyButton, Field } from "../parts/controls.tsx";
import { count, pretty, time } from "../parts/format.ts";
import { useCell, useDesk, useFeed } from "../parts/hooks.ts";
import { List } from "../parts/list.tsx";
import { Badge, Card, Code, Empty, Page, type Tone } from "../parts/panels.tsx";

const TONES: Record<Kind, Tone> = {
	event: "info",
	heartbeat: "idle",
	retry: "idle",
	position: "idle",
	gap: "warn",
	expired: "bad",
	state: "ok",
};

const GROUPS: Record<string, readonly Kind[]> = {
	events: ["event"],
	heartbeats: ["heartbeat"],
	connection: ["state", "retry", "gap", "expired"],
	positions: ["position"],
};

type View = "frames" | "requests";

export function InspectorPage() {
	const [view, setView] = useState<View>("frames");
	return (
		<Page
			title="Inspector"
			about="Every frame of the connection, and every request of this tab."
			actions={
				<Choice
					label="What to look at"
					hideLabel
					value={view}
					onValue={setView}
					options={[
						["frames", "Frames"],
						["requests", "Requests"],
					]}
				/>
			}
		>
			{view === "frames" ? <Frames /> : <Requests />}
		</Page>
	);
}

function Frames() {
	const { live } = useDesk();
	const newest = useFeed(live.rows);
	const [held, setHeld] = useState<readonly Row[]>();
	const [shown, setShown] = useState<readonly string[]>(["events", "heartbeats", "connection"]);
	const [text, setText] = useState("");
	const [chosen, setChosen] = useState<Row>();
	const all = held ?? newest;
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
						<Button icon="trash" onClick={() => live.rows.clear()}>
							Clear
						</Button>
					</div>
				</div>
				<List
					label="Frames"
					newest="bottom"
					usual={34}
					items={rows}
					keyOf={(row) => row.seq}
					draw={(row) => <FrameRow row={row} chosen={row === chosen} onChoose={() => setChosen(row)} />}
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

interface FrameRowProps {
	readonly row: Row;
	readonly chosen: boolean;
	readonly onChoose: () => void;
}

function FrameRow({ row, chosen, onChoose }: FrameRowProps) {
	const tone = row.kind === "state" && row.name !== "open" ? "warn" : TONES[row.kind];
	return (
		<button type="button" className="frame" aria-pressed={chosen} data-kind={row.kind} onClick={onChoose}>
			<time>{time(row.at)}</time>
			<Badge tone={tone}>{row.kind === "event" || row.kind === "state" ? row.name : row.kind}</Badge>
			<code className="text">{row.text || row.id}</code>
			{row.id && row.text && <code className="id">{row.id.split("-").at(-1)}</code>}
		</button>
	);
}

function FrameCard({ row }: { readonly row: Row | undefined }) {
	if (row === undefined)
		return (
			<Card title="One frame">
				<p className="hint">Choose a frame to see it as it came.</p>
			</Card>
		);
	return (
		<Card title="One frame" aside={<CopyButton text={row.raw} />}>
			<dl className="facts">
				<dt>came</dt>
				<dd>{time(row.at)}</dd>
				{row.id && (
					<>
						<dt>id</dt>
						<dd>
							<code>{row.id}</code>
						</dd>
					</>
				)}
				<dt>size</dt>
				<dd>{count(new TextEncoder().encode(row.raw).length)} bytes</dd>
			</dl>
			<h3>As it came</h3>
			<Code>{row.raw}</Code>
			{row.kind === "event" && (
				<>
					<h3>Its data</h3>
					<Code>{pretty(row.text)}</Code>
				</>
			)}
		</Card>
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

function Requests() {
	const items = useFeed(requests);
	const [chosen, setChosen] = useState<Logged>();
	const line = chosen === undefined ? "" : curlOf(chosen.call, base);
	return (
		<div className="columns wide">
			<List
				label="Requests"
				newest="top"
				usual={40}
				items={items}
				keyOf={(item) => item.seq}
				draw={(item) => (
					<button
						type="button"
						className="frame"
						aria-pressed={item === chosen}
						onClick={() => setChosen(item)}
					>
						<time>{time(item.at)}</time>
						<Badge tone={toneOf(item.status)}>{item.status || "stream"}</Badge>
						<code className="text">
							{item.call.method} {item.call.path}
						</code>
						<code className="id">{item.ms} ms</code>
					</button>
				)}
				empty={
					<Empty icon="inspect" title="No requests yet">
						What the forms of the other tabs send shows here.
					</Empty>
				}
			/>
			<Card title="As curl" aside={line && <CopyButton text={line} />}>
				{line ? (
					<Code>{line}</Code>
				) : (
					<p className="hint">Choose a request to have it as a line for a shell.</p>
				)}
				{chosen?.said && <p className="hint">{chosen.said}</p>}
				<p className="hint">
					The token is left out: set it as <code>TOKEN</code> first.
				</p>
			</Card>
		</div>
	);
}

function toneOf(status: number): Tone {
	if (status === 0) return "idle";
	if (status < 400) return "ok";
	return status === 429 ? "warn" : "bad";
}
