// Topic `system`: how the service is, as lines over time.

import { useEffect, useState } from "react";
import type { SystemStatus } from "sse-push-client";
import { send } from "../api/request.ts";
import type { Item } from "../live/items.ts";
import { Chart } from "../parts/chart.tsx";
import { Field } from "../parts/controls.tsx";
import { bytes, count, duration, rate } from "../parts/format.ts";
import { useCell, useDesk, useFeed } from "../parts/hooks.ts";
import { Badge, Card, Empty, Page } from "../parts/panels.tsx";
import { Sender } from "../parts/sender.tsx";

const MOST = 1000; // events of one list that the service takes

export function SystemPage() {
	const { live, session } = useDesk();
	const samples = useFeed(live.system);
	// The stream's next sample may be seconds away.
	const [first, setFirst] = useState<SystemStatus>();
	useEffect(() => {
		void send<SystemStatus>({ method: "GET", path: "/system/status" }, session.token).then((answer) => {
			if (answer.ok) setFirst(answer.body);
		});
	}, [session]);
	const now = samples.at(-1)?.data ?? first;
	return (
		<Page title="System" about={<About now={now} />}>
			{now === undefined ? (
				<Empty icon="gauge" title="Waiting for the first sample">
					The service says how it is every few seconds.
				</Empty>
			) : (
				<div className="columns">
					<div className="stack">
						<div className="tiles">
							<Tile name="Streams open" value={count(now.connections.total)} />
							<Tile name="Deliveries" value={count(now.eventsSent)} />
							<Tile name="Memory" value={bytes(now.memory.rssBytes)} />
							<Tile name="Up for" value={duration(now.uptime)} />
						</div>
						<Charts samples={samples} />
					</div>
					<div className="stack">
						<Load />
						<Streams open={now.connections.byStream} />
					</div>
				</div>
			)}
		</Page>
	);
}

function About({ now }: { readonly now: SystemStatus | undefined }) {
	const { live } = useDesk();
	const { state } = useCell(live.status);
	if (now === undefined) return "How this node of the service is.";
	return (
		<>
			{state === "open" ? (
				<Badge tone={now.status === "ok" ? "ok" : "warn"}>{now.status}</Badge>
			) : (
				<Badge tone="idle">not known now</Badge>
			)}{" "}
			node <code>{now.nodeId}</code>, version {now.version}
		</>
	);
}

function Tile({ name, value }: { readonly name: string; readonly value: string }) {
	return (
		<div className="tile">
			<b>{value}</b>
			<span>{name}</span>
		</div>
	);
}

function Charts({ samples }: { readonly samples: readonly Item<SystemStatus>[] }) {
	const every = everyOf(samples);
	return (
		<div className="charts">
			<Chart
				title="Connections"
				every={every}
				show={count}
				values={samples.map(({ data }) => data.connections.total)}
			/>
			<Chart title="Events per second" every={every} show={rate} values={rates(samples)} />
			<Chart
				title="Memory"
				every={every}
				show={bytes}
				values={samples.map(({ data }) => data.memory.rssBytes)}
			/>
		</div>
	);
}

/** Deliveries per second between each sample and the one before. A node that began anew counts from 0. */
function rates(samples: readonly Item<SystemStatus>[]): number[] {
	return samples.slice(1).map(({ data }, index) => {
		const before = samples[index]?.data ?? data;
		const seconds = data.uptime - before.uptime;
		return seconds > 0 && data.nodeId === before.nodeId
			? Math.max(0, data.eventsSent - before.eventsSent) / seconds
			: 0;
	});
}

function everyOf(samples: readonly Item<SystemStatus>[]): string {
	const [one, other] = samples.slice(-2);
	return one && other ? `${rate(Math.max(0, other.data.uptime - one.data.uptime))} s` : "few seconds";
}

function Load() {
	const { session } = useDesk();
	const [many, setMany] = useState("200");
	const number = Math.min(MOST, Math.max(1, Math.floor(Number(many)) || 1));
	const event = (n: number) => ({ userId: session.who.id, data: { message: `Test ${n} of ${number}` } });
	const body = Array.from({ length: number }, (_, index) => event(index + 1));
	return (
		<Sender
			call={{ method: "POST", path: "/v1/events", body }}
			publishers
			says={(answer) => `${count((answer as { ids: string[] }).ids.length)} events are kept and on their way`}
		>
			<Field
				label="Events to yourself, in one request"
				type="number"
				min={1}
				max={MOST}
				value={many}
				onValue={setMany}
				hint="Watch the line of events per second."
			/>
		</Sender>
	);
}

function Streams({ open }: { readonly open: Readonly<Record<string, number>> }) {
	const rows = Object.entries(open).sort(([, one], [, other]) => other - one);
	return (
		<Card title="Open streams by kind">
			{rows.length ? (
				<table className="counts">
					<thead className="unseen">
						<tr>
							<th scope="col">Stream</th>
							<th scope="col">Open</th>
						</tr>
					</thead>
					<tbody>
						{rows.map(([name, number]) => (
							<tr key={name}>
								<th scope="row">{name}</th>
								<td>{count(number)}</td>
							</tr>
						))}
					</tbody>
				</table>
			) : (
				<p className="hint">None is open.</p>
			)}
		</Card>
	);
}
