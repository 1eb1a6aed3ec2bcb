// Every request of this tab, and each as curl.

import { useState } from "react";
import { curlOf } from "../api/curl.ts";
import { base, type Logged, requests } from "../api/request.ts";
import { CopyButton } from "../parts/controls.tsx";
import { time } from "../parts/format.ts";
import { useFeed } from "../parts/hooks.ts";
import { List } from "../parts/list.tsx";
import { Badge, Card, Code, Empty, type Tone } from "../parts/panels.tsx";

export function Requests() {
	const items = useFeed(requests);
	const [chosen, setChosen] = useState<Logged>();
	const line = chosen === undefined ? "" : curlOf(chosen.call, base);
	return (
		<div className="columns wide">
			<List
				label="Requests"
				newest="top"
				usual={40}
				choosable
				items={items}
				keyOf={(item) => item.seq}
				draw={(item) => (
					<button
						type="button"
						tabIndex={-1}
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
