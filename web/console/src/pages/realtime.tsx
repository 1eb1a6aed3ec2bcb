// Topic `realtime`: changes of entities as they happen, and how each entity stands now.

import { useMemo, useState } from "react";
import type { EntityUpdate } from "sse-push-client";
import type { Item } from "../live/items.ts";
import { Button, Choice, Field } from "../parts/controls.tsx";
import { shown, text, time } from "../parts/format.ts";
import { useDesk, useFeed } from "../parts/hooks.ts";
import { List } from "../parts/list.tsx";
import { Badge, Empty, Page, type Tone } from "../parts/panels.tsx";
import { Sender } from "../parts/sender.tsx";

const TONES = new Map<string, Tone>([
	["created", "ok"],
	["updated", "info"],
	["deleted", "bad"],
]);

export function RealtimePage() {
	const { live } = useDesk();
	const all = useFeed(live.realtime);
	const [type, setType] = useState("");
	const [id, setId] = useState("");
	const items = useMemo(
		() =>
			all.filter(
				({ data }) => (!type || text(data, "entityType") === type) && (!id || text(data, "entityId") === id),
			),
		[all, type, id],
	);
	return (
		<Page
			title="Real-time"
			about="What is created, updated and deleted, as it happens."
			actions={
				<Button icon="trash" disabled={!all.length} onClick={() => live.realtime.clear()}>
					Clear
				</Button>
			}
		>
			<div className="columns">
				<div className="stack">
					<search className="filters" aria-label="Narrow the updates">
						<Field label="Entity type" placeholder="any" value={type} onValue={setType} />
						<Field label="Entity id" placeholder="any" value={id} onValue={setId} />
					</search>
					<List
						key={`${type} ${id}`}
						label="Entity updates"
						newest="top"
						usual={64}
						items={items}
						keyOf={(item) => item.seq}
						draw={(item) => <Update item={item} />}
						empty={
							all.length ? (
								<Empty icon="pulse" title="None of these">
									{all.length} updates came, but none for this entity.
								</Empty>
							) : (
								<Empty icon="pulse" title="No updates yet">
									When another service changes an order, a device or whatever you name, its update shows here.
								</Empty>
							)
						}
					/>
				</div>
				<SendUpdate />
			</div>
		</Page>
	);
}

function Update({ item }: { readonly item: Item<EntityUpdate> }) {
	const action = text(item.data, "action") || "event";
	const timestamp = text(item.data, "timestamp") || new Date(item.at).toISOString();
	return (
		<article className="update" data-id={item.id}>
			<Badge tone={TONES.get(action) ?? "idle"}>{action}</Badge>
			<h3>
				<bdi>{text(item.data, "entityType") || "Without an entity"}</bdi>{" "}
				<code>{text(item.data, "entityId")}</code>
			</h3>
			<time dateTime={timestamp}>{time(timestamp)}</time>
			<p className="data" dir="auto">
				{text(item.data, "data") || shown(item.data)}
			</p>
		</article>
	);
}

function SendUpdate() {
	const { session } = useDesk();
	const [entityType, setType] = useState("order");
	const [entityId, setId] = useState("A-1042");
	const [action, setAction] = useState<EntityUpdate["action"]>("updated");
	const [json, setJson] = useState('{"state": "packed"}');
	const [to, setTo] = useState<"all" | "me" | "other">("all");
	const [user, setUser] = useState("");
	const [data, wrong] = useMemo(() => parsed(json), [json]);
	const audience = { all: {}, me: { userId: session.who.id }, other: { userId: user } }[to];
	const body = { entityType, entityId, action, data, ...audience };
	const call = { method: "POST", path: "/realtime/update", body };
	return (
		<Sender call={call} publishers>
			<div className="pair">
				<Field label="Entity type" required value={entityType} onValue={setType} />
				<Field label="Entity id" required value={entityId} onValue={setId} />
			</div>
			<Choice
				label="Action"
				value={action}
				onValue={setAction}
				options={[
					["created", "Created"],
					["updated", "Updated"],
					["deleted", "Deleted"],
				]}
			/>
			<Field label="Data (JSON)" rows={3} value={json} onValue={setJson} error={wrong} />
			<Choice
				label="To"
				value={to}
				onValue={setTo}
				options={[
					["me", "Me"],
					["all", "Everybody"],
					["other", "A user"],
				]}
			/>
			{to === "other" && <Field label="User id" required value={user} onValue={setUser} />}
		</Sender>
	);
}

/** What *json* is; as long as it is none, the text itself, and what is wrong. */
function parsed(json: string): [data: unknown, wrong: string | undefined] {
	try {
		return [JSON.parse(json || "null"), undefined];
	} catch {
		return [json, "This is no JSON; it would be sent as text."];
	}
}
