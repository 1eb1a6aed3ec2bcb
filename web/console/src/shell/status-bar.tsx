// How the connection is and what came over it: always in sight.

import { useEffect, useRef, useState } from "react";
import { count, duration, rate } from "../parts/format.ts";
import { useCell, useDesk, useNow } from "../parts/hooks.ts";

export function StatusBar() {
	const { live } = useDesk();
	const stats = useCell(live.stats);
	const perSecond = useRate(stats.received);
	return (
		<div className="status-bar">
			<StatePill />
			<dl className="figures">
				<Figure name="events" value={count(stats.received)} />
				<Figure name="per s" value={rate(perSecond)} />
				<Figure name="heartbeats" value={count(stats.heartbeats)} less />
				<Figure name="reconnects" value={count(stats.reconnects)} tone={stats.reconnects ? "warn" : ""} />
				<Figure name="gaps" value={count(stats.gaps)} tone={stats.gaps ? "warn" : ""} />
				<Figure name="last id" value={stats.lastId || "–"} less />
			</dl>
		</div>
	);
}

interface FigureProps {
	readonly name: string;
	readonly value: string;
	readonly tone?: string;
	readonly less?: boolean;
}

function Figure({ name, value, tone = "", less }: FigureProps) {
	return (
		<div className={`figure ${less ? "less" : ""}`} data-figure={name}>
			<dd className={tone}>{value}</dd>
			<dt>{name}</dt>
		</div>
	);
}

function StatePill() {
	const { live } = useDesk();
	const status = useCell(live.status);
	const { openedAt } = useCell(live.stats);
	const now = useNow(status.state === "waiting" ? 250 : 1000); // the notice below counts down too
	const left = Math.max(0, Math.ceil(((status.retryAt ?? now) - now) / 1000));
	const [tone, text, more] = {
		connecting: ["warn", "Connecting", ""],
		open: ["ok", "Live", duration((now - openedAt) / 1000)],
		waiting: ["warn", "Reconnecting", status.retryAt === null ? "when seen" : `in ${left} s`],
		closed: ["bad", "Disconnected", ""],
	}[status.state] as [string, string, string];
	return (
		<div className={`state ${tone}`} data-state={status.state}>
			<span className="dot" aria-hidden="true" />
			<b>{text}</b>
			{more && <span className="more">{more}</span>}
		</div>
	);
}

const WINDOW_S = 5;

/** How fast *total* has grown over the last seconds. */
function useRate(total: number): number {
	const newest = useRef(total);
	newest.current = total;
	const [perSecond, setPerSecond] = useState(0);
	useEffect(() => {
		const past: number[] = [newest.current];
		const timer = setInterval(() => {
			past.push(newest.current);
			if (past.length > WINDOW_S + 1) past.shift();
			setPerSecond((newest.current - (past[0] ?? 0)) / Math.max(1, past.length - 1));
		}, 1000);
		return () => clearInterval(timer);
	}, []);
	return perSecond;
}
