// Frames: as lines of a list, and one of them whole.

import { type ReactNode, useEffect, useRef } from "react";
import type { Kind, Row } from "../live/items.ts";
import { CopyButton } from "../parts/controls.tsx";
import { count, pretty, time } from "../parts/format.ts";
import { List } from "../parts/list.tsx";
import { Badge, Card, Code, type Tone } from "../parts/panels.tsx";

const TONES: Record<Kind, Tone> = {
	event: "info",
	heartbeat: "idle",
	retry: "idle",
	position: "idle",
	gap: "warn",
	expired: "bad",
	state: "ok",
};

interface FrameListProps {
	readonly label: string;
	readonly rows: readonly Row[];
	readonly chosen: Row | undefined;
	readonly onChoose: (row: Row) => void;
	readonly empty: ReactNode;
}

export function FrameList({ rows, chosen, onChoose, ...more }: FrameListProps) {
	return (
		<List
			newest="bottom"
			usual={34}
			items={rows}
			keyOf={(row) => row.seq}
			draw={(row) => <FrameRow row={row} chosen={row === chosen} onChoose={() => onChoose(row)} />}
			choosable
			{...more}
		/>
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
		<button
			type="button"
			tabIndex={-1}
			className="frame"
			aria-pressed={chosen}
			data-kind={row.kind}
			onClick={onChoose}
		>
			<time>{time(row.at)}</time>
			<Badge tone={tone}>
				{row.kind === "event" || row.kind === "state" ? row.name || "message" : row.kind}
			</Badge>
			<code className="text">{row.text || row.id}</code>
			{row.id && row.text && <code className="id">{row.id.split("-").at(-1)}</code>}
		</button>
	);
}

export function FrameCard({ row }: { readonly row: Row | undefined }) {
	const place = useRef<HTMLDivElement>(null);
	useEffect(() => {
		// On a phone it stands below the list, out of sight.
		if (row !== undefined) place.current?.scrollIntoView({ block: "nearest" });
	}, [row]);
	return <div ref={place}>{row === undefined ? <NoFrame /> : <WholeFrame row={row} />}</div>;
}

function NoFrame() {
	return (
		<Card title="One frame">
			<p className="hint">Choose a frame to see it as it came.</p>
		</Card>
	);
}

function WholeFrame({ row }: { readonly row: Row }) {
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
